/* nest.c: mode, lattice and mixture quantiles (see nest.h). */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "engine/nest.h"

static const double PI = 3.141592653589793238462643383280;

/* ---- mode ----------------------------------------------------------------------- */

/* The differences vanish a little beside the mode, and there f may fall along a step towards that
 * point. So once a step promises a gain below NEAR it is taken whole, unless f falls by as much,
 * and the one below SETTLED is the last; MAX_WHOLE where noise in f keeps them from shrinking. */
static const double NEAR = 1e-3, SETTLED = 1e-6;
enum { MAX_WHOLE = 4 };

struct nest_work nest_work_carve(int d, struct arena *a)
{
    struct nest_work w;
    size_t n = (size_t) d;
    w.z = arena_doubles(a, n);
    w.psi = arena_doubles(a, n);
    w.grad = arena_doubles(a, n);
    w.H = arena_doubles(a, n * n);
    w.step = arena_doubles(a, n);
    w.root = arena_doubles(a, n * n);
    w.eigen_size = 3 * d + 64; /* dsyev asks for 3 d - 1 at least */
    w.eigen = arena_doubles(a, n + (size_t) w.eigen_size);
    return w;
}

/* out <- mode + L z */
static void place(int d, const double *mode, const double *L, const double *z,
                  double *out)
{
    memcpy(out, mode, sizeof(double) * (size_t) d);
    for (int j = 0; j < d; j++)
        if (z[j] != 0)
            for (int i = 0; i < d; i++) out[i] += AT(L, i, j, d) * z[j];
}

static double at_z(const struct target *f, const double *psi, const double *L,
                   struct nest_work *w)
{
    place(f->d, psi, L, w->z, w->psi);
    return f->log_density(f->ctx, w->psi);
}

/* w->grad, w->H (full) <- gradient and minus Hessian in z at psi, from differences over a tenth
 * of the scale; false when a value is not finite. All four diagonal points, for what is symmetric
 * in an axis must stay so. */
static bool differentiate(const struct target *f, const double *psi, const double *L,
                          double peak, struct nest_work *w)
{
    const double e = 0.1;
    int d = f->d;
    memset(w->z, 0, sizeof(double) * (size_t) d);
    for (int i = 0; i < d; i++) {
        w->z[i] = e;
        double up = at_z(f, psi, L, w);
        w->z[i] = -e;
        double down = at_z(f, psi, L, w);
        w->grad[i] = (up - down) / (2 * e);
        AT(w->H, i, i, d) = (2 * peak - up - down) / (e * e);
        if (!isfinite(AT(w->H, i, i, d))) return false;
        for (int j = 0; j < i; j++) {
            double sum = 0;
            for (int k = 0; k < 4; k++) {
                w->z[i] = k < 2 ? e : -e;
                w->z[j] = k % 2 ? -e : e;
                sum += (k == 0 || k == 3 ? 1 : -1) * at_z(f, psi, L, w);
            }
            w->z[j] = 0;
            AT(w->H, i, j, d) = AT(w->H, j, i, d) = -sum / (4 * e * e);
            if (!isfinite(sum)) return false;
        }
        w->z[i] = 0;
    }
    return true;
}

/* w->H <- its eigenvectors, w->eigen <- its eigenvalues. False where there are none: LAPACK is not
 * to be asked about a NaN. */
static bool eigen(int d, struct nest_work *w)
{
    int info = 0;
    for (int j = 0; j < d; j++)
        for (int i = j; i < d; i++)
            if (!isfinite(AT(w->H, i, j, d))) return false;
    F77_CALL(dsyev)
    ("V", "L", &d, w->H, &d, w->eigen, w->eigen + d, &w->eigen_size, &info FCONE FCONE);
    return info == 0;
}

/* Eigenvalues are kept where a step or a scale can use them: a convex axis counts as one of unit
 * curvature, and a scale changes at most fourfold. */
static bool curvature(int d, struct nest_work *w)
{
    if (!eigen(d, w)) return false;
    for (int j = 0; j < d; j++) {
        double c = w->eigen[j];
        w->eigen[j] = c <= 0 ? 1 : c < 0.0625 ? 0.0625 : c > 16 ? 16 : c;
    }
    return true;
}

/* w->step <- (-H)^-1 grad, no longer than three scales on any axis; returns grad'step. */
static double newton_step(int d, struct nest_work *w)
{
    double gain = 0;
    memset(w->step, 0, sizeof(double) * (size_t) d);
    for (int j = 0; j < d; j++) {
        const double *v = w->H + (size_t) j * (size_t) d;
        double g = la_dot(d, v, w->grad), s = g / w->eigen[j];
        s = s > 3 ? 3 : s < -3 ? -3 : s;
        for (int i = 0; i < d; i++) w->step[i] += s * v[i];
        gain += g * s;
    }
    return gain;
}

/* L <- L V diag(eigen)^-1/2, a root of the inverse Hessian. */
static void rescale(int d, double *L, struct nest_work *w)
{
    for (int j = 0; j < d; j++) {
        const double *v = w->H + (size_t) j * (size_t) d;
        double scale = 1 / sqrt(w->eigen[j]);
        for (int i = 0; i < d; i++) {
            double s = 0;
            for (int k = 0; k < d; k++) s += AT(L, i, k, d) * v[k];
            AT(w->root, i, j, d) = s * scale;
        }
    }
    memcpy(L, w->root, sizeof(double) * (size_t) d * (size_t) d);
}

/* L <- D R^1/2 Q with L L' = D R D as before, R a correlation matrix, Q orthogonal and the same
 * for every density. Eigenvectors are arbitrary where eigenvalues are close; the symmetric root
 * moves no more than R does. Q turns the axes away from the parameters, by pi / 2d in each plane
 * of neighbours: the error of the trapezoid rule along an axis is the density's Fourier transform
 * there, which of one skewed parameter falls slower than the product of several. More than two
 * parameters are turned by less, for what is summed along one of them alone. */
static void fix_axes(int d, double *L, struct nest_work *w)
{
    double *scale = w->z;
    for (int j = 0; j < d; j++) /* D R D */
        for (int i = j; i < d; i++) {
            double s = 0;
            for (int k = 0; k < d; k++) s += AT(L, i, k, d) * AT(L, j, k, d);
            AT(w->H, i, j, d) = s;
        }
    for (int i = 0; i < d; i++) scale[i] = sqrt(AT(w->H, i, i, d));
    for (int j = 0; j < d; j++)
        for (int i = j; i < d; i++) AT(w->H, i, j, d) /= scale[i] * scale[j];
    if (!eigen(d, w)) return; /* L is a root as it is */
    memset(L, 0, sizeof(double) * (size_t) d * (size_t) d);
    for (int k = 0; k < d; k++) {
        const double *v = w->H + (size_t) k * (size_t) d;
        double s = sqrt(fmax(w->eigen[k], 1e-15));
        for (int j = 0; j < d; j++)
            for (int i = 0; i < d; i++) AT(L, i, j, d) += s * scale[i] * v[i] * v[j];
    }
    double c = cos(0.5 * PI / d), s = sin(0.5 * PI / d);
    for (int j = 0; j + 1 < d; j++)
        for (int i = 0; i < d; i++) {
            double a = AT(L, i, j, d), b = AT(L, i, j + 1, d);
            AT(L, i, j, d) = c * a + s * b;
            AT(L, i, j + 1, d) = c * b - s * a;
        }
    for (int j = 1; j < d; j += 2) /* the first row of Q is positive */
        for (int i = 0; i < d; i++) AT(L, i, j, d) = -AT(L, i, j, d);
}

/* Halve the step until f rises, or falls by less than `slack`; false when it never does. */
static bool climb(const struct target *f, double *psi, const double *L, double *peak,
                  double slack, struct nest_work *w)
{
    for (int halved = 0; halved < 20; halved++) {
        memcpy(w->z, w->step, sizeof(double) * (size_t) f->d);
        double value = at_z(f, psi, L, w);
        if (value > *peak - slack) {
            memcpy(psi, w->psi, sizeof(double) * (size_t) f->d);
            *peak = value;
            return true;
        }
        for (int i = 0; i < f->d; i++) w->step[i] *= 0.5;
    }
    return false;
}

enum core_status nest_mode(const struct target *f, double *psi, double *L, double *peak,
                           struct nest_work *w, const struct core_hooks *h,
                           struct core_info *info)
{
    size_t dd = (size_t) f->d * (size_t) f->d;
    int whole = 0;
    *peak = f->log_density(f->ctx, psi);
    if (!isfinite(*peak)) return CORE_NONFINITE;
    for (info->iter = 0; info->iter < 60; info->iter++) {
        if (core_stop(h, info->iter)) return CORE_INTERRUPTED;
        if (!differentiate(f, psi, L, *peak, w) || !curvature(f->d, w)) {
            for (size_t i = 0; i < dd; i++) L[i] *= 0.5; /* too near to where f ends */
            continue;
        }
        double gain = newton_step(f->d, w);
        bool near = gain < NEAR;
        whole += near;
        bool moved = climb(f, psi, L, peak, near ? NEAR : 0, w);
        rescale(f->d, L, w);
        fix_axes(f->d, L, w);
        bool settled = info->iter > 0 && gain < SETTLED; /* in axes of its own */
        if (!moved || settled || whole == MAX_WHOLE)
            return gain > 1e-2 ? CORE_MAXIT : CORE_OK;
    }
    return CORE_MAXIT;
}

/* ---- lattice -------------------------------------------------------------------- */

size_t nest_lattice_table(int capacity)
{
    size_t n = 16;
    while (n < 2 * (size_t) capacity) n *= 2;
    return n;
}

struct lattice nest_lattice_carve(int d, int capacity, bool gradients, struct arena *a)
{
    struct lattice l = {.capacity = capacity};
    size_t n = (size_t) d * (size_t) capacity;
    l.index = arena_ints(a, n);
    l.psi = arena_doubles(a, n);
    l.log_density = arena_doubles(a, (size_t) capacity);
    l.gradient = gradients ? arena_doubles(a, n) : NULL;
    return l;
}

/* Slot of a point in the hash table: its own, or the empty one where it belongs. Entries are
 * 1 + position in the lattice; sizes are powers of two. */
static size_t table_slot(int d, const int *index, const struct lattice *l,
                         const int *table, size_t size)
{
    uint64_t key = 1469598103934665603u;
    for (int i = 0; i < d; i++)
        key = (key ^ (uint64_t) (index[i] + 65536)) * 1099511628211u;
    size_t slot = (size_t) (key ^ (key >> 29)) & (size - 1);
    for (; table[slot]; slot = (slot + 1) & (size - 1)) {
        const int *other = l->index + (size_t) (table[slot] - 1) * (size_t) d;
        int same = 0;
        while (same < d && other[same] == index[same]) same++;
        if (same == d) break;
    }
    return slot;
}

/* Appends the point `index`, whose value comes with others'. */
static void lattice_add(int d, const double *mode, const double *L, double step,
                        const int *index, struct lattice *l)
{
    size_t at = (size_t) l->n * (size_t) d;
    double z[LATTICE_ROOM_D];
    for (int i = 0; i < d; i++) z[i] = step * index[i];
    memcpy(l->index + at, index, sizeof(int) * (size_t) d);
    place(d, mode, L, z, l->psi + at);
    l->n++;
}

/* The values of the points from `from` on; returns the highest of `peak` and them. */
static double lattice_values(const struct target *f, int from, double peak,
                             struct lattice *l)
{
    double *value = l->log_density;
    target_log_densities(f, l->n - from, l->psi + (size_t) from * (size_t) f->d,
                         value + from);
    for (int i = from; i < l->n; i++) {
        if (!isfinite(value[i])) value[i] = -INFINITY;
        peak = fmax(peak, value[i]);
    }
    return peak;
}

/* Appends the neighbours of point k that are not there; false: there is no room. */
static bool lattice_grow(int d, const double *mode, const double *L, double step, int k,
                         struct lattice *l, int *table, size_t size)
{
    int index[LATTICE_ROOM_D];
    for (int move = 0; move < 2 * d; move++) {
        memcpy(index, l->index + (size_t) k * (size_t) d, sizeof(int) * (size_t) d);
        index[move / 2] += move % 2 ? 1 : -1;
        size_t slot = table_slot(d, index, l, table, size);
        if (table[slot]) continue;
        if (l->n == l->capacity || abs(index[move / 2]) > LATTICE_MAX_INDEX) return false;
        lattice_add(d, mode, L, step, index, l);
        table[slot] = l->n;
    }
    return true;
}

void nest_lattice_gradient(int d, double step, const struct lattice *l, const int *table,
                           int k, double *g)
{
    int index[LATTICE_ROOM_D];
    size_t size = nest_lattice_table(l->capacity);
    memcpy(index, l->index + (size_t) k * (size_t) d, sizeof(int) * (size_t) d);
    for (int i = 0; i < d; i++) {
        double value[3] = {-INFINITY, l->log_density[k], -INFINITY}, width = 0;
        for (int side = -1; side <= 1; side += 2) {
            index[i] += side;
            int found = table[table_slot(d, index, l, table, size)];
            if (found) value[1 + side] = l->log_density[found - 1];
            index[i] -= side;
        }
        for (int side = 0; side <= 2; side += 2) {
            if (isfinite(value[side]))
                width += step;
            else
                value[side] = value[1];
        }
        g[i] = width > 0 && isfinite(value[1]) ? (value[2] - value[0]) / width : 0;
    }
}

enum core_status nest_lattice(const struct target *f, const double *mode, const double *L,
                              double step, double drop, struct lattice *l, int *table,
                              const struct core_hooks *h, struct core_info *info)
{
    enum { LOT = 64 }; /* points valued together, about; and every so many h is asked */
    int d = f->d;
    const int origin[LATTICE_ROOM_D] = {0};
    size_t size = nest_lattice_table(l->capacity);
    memset(table, 0, sizeof(int) * size);
    if (l->n == 0) {
        lattice_add(d, mode, L, step, origin, l);
        lattice_values(f, 0, -INFINITY, l);
    }
    double peak = -INFINITY;
    for (int k = 0; k < l->n; k++) {
        table[table_slot(d, l->index + (size_t) k * (size_t) d, l, table, size)] = k + 1;
        peak = fmax(peak, l->log_density[k]);
    }
    for (int k = 0, asked = -LOT;
         k < l->n;) { /* breadth first: the list is its own queue */
        int known = l->n;
        bool room = true;
        info->iter = k - k % LOT;
        if (info->iter > asked && core_stop(h, asked = info->iter))
            return CORE_INTERRUPTED;
        for (; k < known && l->n - known < LOT && room; k++)
            if (l->log_density[k] > peak - drop)
                room = lattice_grow(d, mode, L, step, k, l, table, size);
        peak = lattice_values(f, known, peak, l);
        if (!room) return CORE_FULL;
    }
    for (int k = 0; k < l->n && l->gradient; k++)
        nest_lattice_gradient(d, step, l, table, k,
                              l->gradient + (size_t) k * (size_t) d);
    return CORE_OK;
}

/* ---- mixtures --------------------------------------------------------------------- */

/* Si(x) = int_0^x sin(t) / t dt: power series, then the rational approximations of its auxiliary
 * functions [Abramowitz & Stegun 1964, 5.2.14, 5.2.38, 5.2.39]; absolute error below 5e-7.
 * sine: sin(x). */
static double sine_integral(double x, double sine)
{
    double a = fabs(x), y = a * a;
    if (a < 4) {
        double term = a, sum = a;
        for (int k = 1; k < 20; k++) {
            term *= -y / ((2 * k) * (2 * k + 1));
            sum += term / (2 * k + 1);
        }
        return x < 0 ? -sum : sum;
    }
    double y2 = y * y, y3 = y2 * y, y4 = y2 * y2;
    double f = (y4 + 38.027264 * y3 + 265.187033 * y2 + 335.677320 * y + 38.102495) /
               (y4 + 40.021433 * y3 + 322.624911 * y2 + 570.236280 * y + 157.105423) / a;
    double g = (y4 + 42.242855 * y3 + 302.757865 * y2 + 352.018498 * y + 21.821899) /
               (y4 + 48.196927 * y3 + 482.485984 * y2 + 1114.978885 * y + 449.690326) / y;
    double s = 0.5 * PI - f * cos(a) - g * fabs(sine) * (sine * x < 0 ? -1 : 1);
    return x < 0 ? -s : s;
}

/* Distribution function at x and its derivative. */
static double mixture_cdf(enum nest_kernel kernel, int n, const double *w,
                          const double *c, const double *s, double x, double *density)
{
    double sum = 0, slope = 0;
    for (int i = 0; i < n; i++) {
        if (!(s[i] > 0)) { /* a point mass */
            sum += c[i] < x ? w[i] : c[i] > x ? 0 : 0.5 * w[i];
            continue;
        }
        double z = (x - c[i]) / s[i];
        if (kernel == NEST_NORMAL) {
            sum += 0.5 * w[i] * erfc(-z * 0.70710678118654752440);
            slope += w[i] * exp(-0.5 * z * z) / (s[i] * 2.50662827463100050242);
        } else {
            double u = PI * z, sine = sin(u);
            sum += w[i] * (0.5 + sine_integral(u, sine) / PI);
            slope += w[i] * (fabs(u) < 1e-8 ? 1 : sine / u) / s[i];
        }
    }
    *density = slope;
    return sum;
}

/* Quantile of the standard normal to .0005 [Abramowitz & Stegun 1964, 26.2.23]. */
static double rough_normal_quantile(double p)
{
    double t = sqrt(-2 * log(fmax(fmin(p, 1 - p), 1e-300)));
    double x = t - ((0.010328 * t + 0.802853) * t + 2.515517) /
                       (((0.001308 * t + 0.189269) * t + 1.432788) * t + 1);
    return p < 0.5 ? -x : x;
}

double nest_quantile(enum nest_kernel kernel, int n, const double *w, const double *c,
                     const double *s, double p)
{
    double lower = INFINITY, upper = -INFINITY, mean = 0, var = 0, widest = 0, density;
    for (int i = 0; i < n; i++) {
        if (!(w[i] > 0)) continue;
        if (c[i] < lower) lower = c[i];
        if (c[i] > upper) upper = c[i];
        if (s[i] > widest) widest = s[i];
        mean += w[i] * c[i];
    }
    for (int i = 0; i < n; i++)
        var += w[i] * ((c[i] - mean) * (c[i] - mean) +
                       (kernel == NEST_NORMAL ? s[i] * s[i] : 0));
    double sd = sqrt(var);
    if (!(sd > 0)) return mean;
    lower -= 40 * widest;
    upper += 40 * widest;
    double x = fmin(fmax(mean + sd * rough_normal_quantile(p), lower), upper);
    for (int k = 0; k < 200 && upper - lower > 1e-10 * sd; k++) {
        double gap = mixture_cdf(kernel, n, w, c, s, x, &density) - p;
        if (gap > 0)
            upper = x;
        else
            lower = x;
        double next = x - gap / density;
        if (!(next > lower && next < upper) || fabs(next - x) > 3 * sd)
            next = 0.5 * (lower + upper);
        else if (fabs(next - x) < 1e-6 * sd)
            return next; /* the next step is of the order of its square */
        x = next;
    }
    return x;
}

/* x in [from, to] to a cell of n. */
static int cell_of(double x, double from, double to, int n)
{
    double at = to > from ? (x - from) / (to - from) * n : 0;
    return at <= 0 ? 0 : at >= n ? n - 1 : (int) at;
}

int nest_gather(int n, const double *w, const double *c, const double *s, double *W,
                double *C, double *S)
{
    enum { CENTRES = 256, SPREADS = NEST_CELLS / CENTRES };
    double mean = 0, var = 0, thin = INFINITY, wide = 0;
    for (int i = 0; i < n; i++) {
        if (!(w[i] > 0)) continue;
        if (!(s[i] > 0)) return 0;
        mean += w[i] * c[i];
        thin = fmin(thin, s[i]);
        wide = fmax(wide, s[i]);
    }
    for (int i = 0; i < n; i++)
        var += w[i] * ((c[i] - mean) * (c[i] - mean) + s[i] * s[i]);
    double reach = 6 * sqrt(var), low = log(thin), high = log(wide);
    for (int k = 0; k < NEST_CELLS; k++) W[k] = C[k] = S[k] = 0;
    for (int i = 0; i < n;
         i++) { /* moments about the mean, which loses no digits to a far origin */
        if (!(w[i] > 0)) continue;
        double x = c[i] - mean;
        int k = cell_of(x, -reach, reach, CENTRES) * SPREADS +
                cell_of(log(s[i]), low, high, SPREADS);
        W[k] += w[i];
        C[k] += w[i] * x;
        S[k] += w[i] * (x * x + s[i] * s[i]);
    }
    int cells = 0;
    for (int k = 0; k < NEST_CELLS; k++) {
        if (!(W[k] > 0)) continue;
        double m = C[k] / W[k], v = S[k] / W[k] - m * m;
        W[cells] = W[k];
        C[cells] = mean + m;
        S[cells++] = sqrt(fmax(v, thin * thin));
    }
    return cells;
}
