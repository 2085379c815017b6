/* emulator.c: see emulator.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/lanes.h"
#include "engine/bend.h"
#include "engine/emulator.h"
#include "engine/emulator_coord_lanes.h"

/* Lengths of the kernel, in posterior SDs, that the restricted likelihood chooses from. */
static const double LENGTHS[] = {1, 1.5, 2, 3, 4, 6, 8};
enum { N_LENGTHS = sizeof LENGTHS / sizeof *LENGTHS };

struct emulator emulator_carve(const struct emulator_coord *c,
                               const struct emulator_fits *fits, struct arena *a)
{
    struct emulator e = {.c = *c, .fits = *fits, .d = c->m->n_stat};
    size_t d = (size_t) e.d, n = (size_t) fits->n, p, m = n * (d + 1);
    e.p = emulator_coord_size(c);
    p = (size_t) e.p;
    e.x = arena_doubles(a, d * n);
    e.q = arena_doubles(a, d * n);
    e.g = arena_doubles(a, d * n);
    e.Q = arena_doubles(a, d * d * n);
    e.z = arena_doubles(a, d * n);
    e.y = arena_doubles(a, m);
    e.H = arena_doubles(a, m * p);
    e.metric = arena_doubles(a, d * d);
    e.x0 = arena_doubles(a, d);
    e.v_best = arena_doubles(a, d);
    e.low = arena_doubles(a, d);
    e.high = arena_doubles(a, d);
    e.gp = emulator_gp_carve(fits->n, e.d, e.p, a);
    e.values = emulator_gp_values_carve(fits->n, e.d, a);
    e.shift = arena_doubles(a, 1 + d + n);
    e.h = arena_doubles(a, p);
    e.basis = arena_doubles(a, 1 + d + n);
    return e;
}

/* ---- what is known at the fits ------------------------------------------------------------- */

static double correction_at(const struct emulator *e, int i)
{
    return e->fits.correction ? e->fits.correction[i] : 0;
}

/* Coordinates of the fits, and the one of the highest density. */
static bool read_fits(struct emulator *e)
{
    size_t d = (size_t) e->d;
    double v[EMULATOR_MAX_D], psi[EMULATOR_MAX_D], most = -INFINITY;
    e->top = -INFINITY;
    for (int i = 0; i < e->fits.n; i++) {
        const double *at = e->fits.psi + (size_t) i * d;
        if (!emulator_coord_pull(&e->c, at, e->fits.slope + (size_t) i * d,
                                 e->x + (size_t) i * d, e->q + (size_t) i * d,
                                 e->g + (size_t) i * d, e->Q + (size_t) i * d * d))
            return false;
        bend_from_psi(e->d, e->c.bend, at, v);
        double jacobian = bend_to_psi(e->d, e->c.bend, v, psi);
        double f = e->fits.log_lik[i] + correction_at(e, i) +
                   emulator_coord_prior(&e->c, at) + jacobian;
        e->top = fmax(e->top, e->fits.log_lik[i]);
        if (!(f > most)) continue;
        most = f;
        e->best = i;
        memcpy(e->v_best, v, sizeof(double) * d);
    }
    memcpy(e->x0, e->x + (size_t) e->best * d, sizeof(double) * d);
    return isfinite(most);
}

/* The metric given, or the SDs of the fits' coordinates. */
static void take_metric(struct emulator *e)
{
    int d = e->d, n = e->fits.n;
    memset(e->metric, 0, sizeof(double) * (size_t) (d * d));
    for (int j = 0; j < d; j++) {
        double mean = 0, ss = 0;
        for (int i = 0; i < n; i++) mean += AT(e->x, j, i, d) / n;
        for (int i = 0; i < n; i++) ss += pow(AT(e->x, j, i, d) - mean, 2);
        AT(e->metric, j, j, d) = fmax(sqrt(ss / (n - 1)), 0.1);
    }
    if (e->Lx) memcpy(e->metric, e->Lx, sizeof(double) * (size_t) (d * d));
}

static void to_metric(const struct emulator *e, const double *x, double *z)
{
    for (int j = 0; j < e->d; j++) z[j] = x[j] - e->x0[j];
    la_solve_l(e->d, e->metric, z);
}

/* y and H of the process: values, then derivatives in z_1, z_2, ... */
static void fill_equations(struct emulator *e)
{
    int d = e->d, n = e->fits.n, p = e->p, m = n * (d + 1);
    for (int i = 0; i < n; i++) {
        const double *x = e->x + (size_t) i * (size_t) d,
                     *q = e->q + (size_t) i * (size_t) d,
                     *Q = e->Q + (size_t) i * (size_t) (d * d);
        to_metric(e, x, e->z + (size_t) i * (size_t) d);
        e->y[i] = e->fits.log_lik[i] - e->top;
        emulator_coord_trend(&e->c, x, q, e->h);
        for (int j = 0; j < p; j++) AT(e->H, i, j, m) = e->h[j];
        for (int k = 0; k < d; k++) {
            e->y[(k + 1) * n + i] = 0;
            for (int j = 0; j < p; j++) AT(e->H, (k + 1) * n + i, j, m) = 0;
        }
        for (int l = 0; l < d; l++) { /* d/dz_k = sum_l L_lk d/dx_l */
            emulator_coord_trend_slope(&e->c, q, Q, l, e->h);
            for (int k = 0; k <= l; k++) {
                double s = AT(e->metric, l, k, d);
                e->y[(k + 1) * n + i] += s * AT(e->g, l, i, d);
                for (int j = 0; j < p; j++)
                    AT(e->H, (k + 1) * n + i, j, m) += s * e->h[j];
            }
        }
    }
}

static void take_box(struct emulator *e)
{
    for (int j = 0; j < e->d; j++) {
        e->low[j] = e->high[j] = e->z[j];
        for (int i = 1; i < e->fits.n; i++) {
            e->low[j] = fmin(e->low[j], AT(e->z, j, i, e->d));
            e->high[j] = fmax(e->high[j], AT(e->z, j, i, e->d));
        }
    }
}

static bool choose_length(struct emulator *e)
{
    double most = -INFINITY, best = 0;
    for (int i = 0; i < N_LENGTHS; i++) {
        if (!emulator_gp_fit(&e->gp, LENGTHS[i], e->z, e->y, e->H)) continue;
        if (!(e->gp.log_lik > most)) continue;
        most = e->gp.log_lik;
        best = LENGTHS[i];
    }
    return best > 0 &&
           (best == e->gp.ell || emulator_gp_fit(&e->gp, best, e->z, e->y, e->H));
}

bool emulator_prepare(struct emulator *e)
{
    if (!read_fits(e)) return false;
    take_metric(e);
    fill_equations(e);
    take_box(e);
    if (!choose_length(e) || !emulator_gp_values_fit(&e->values, e->z)) return false;
    size_t size = (size_t) (1 + e->d + e->fits.n);
    memset(e->shift, 0, sizeof(double) * size);
    for (int i = 0; i < e->fits.n; i++)
        for (size_t j = 0; j < size; j++)
            e->shift[j] += correction_at(e, i) * e->values.S[j + (size_t) i * size];
    return true;
}

/* A trend that has gone wrong may rise without end away from the fits. */
static bool is_far(const struct emulator *e, const double *z)
{
    for (int j = 0; j < e->d; j++)
        if (!(z[j] > e->low[j] - e->far && z[j] < e->high[j] + e->far)) return true;
    return false;
}

/* ---- the density ----------------------------------------------------------------------------- */

double emulator_place(struct emulator *e, const double *v, double *psi, double *x,
                      double *z, double *h)
{
    double q[EMULATOR_MAX_D], jacobian = bend_to_psi(e->d, e->c.bend, v, psi);
    if (!emulator_coord_at(&e->c, psi, x, q)) return NAN;
    to_metric(e, x, z);
    emulator_coord_trend(&e->c, x, q, h);
    return jacobian;
}

double emulator_shift(struct emulator *e, const double *z)
{
    if (!e->fits.correction) return 0;
    emulator_gp_values_basis(&e->values, z, e->basis);
    return la_dot((size_t) (1 + e->d + e->fits.n), e->shift, e->basis);
}

double emulator_log_density(void *emulator, const double *v)
{
    struct emulator *e = emulator;
    double psi[EMULATOR_MAX_D], x[EMULATOR_MAX_D], z[EMULATOR_MAX_D];
    double f = emulator_place(e, v, psi, x, z, e->h);
    if (isnan(f) || is_far(e, z)) return -INFINITY;
    f += emulator_coord_prior(&e->c, psi) + emulator_gp_mean(&e->gp, z, e->h) +
         emulator_shift(e, z);
    return isfinite(f) ? f : -INFINITY;
}

/* ---- four points at once ------------------------------------------------------------------- */

enum { W = LANES_WIDTH, WD = W * EMULATOR_MAX_D };

/* Four points, number j of point l at W j + l; prior as of emulator_coord_lanes_at(). */
struct four {
    double psi[WD], x[WD], q[WD], z[WD], prior[W];
};

/* The first n (at most W) columns of v; the first repeated where there are fewer. */
static void place_four(const struct emulator *e, int n, const double *v, struct four *at)
{
    int d = e->d;
    double in[WD];
    for (int l = 0; l < W; l++)
        for (int j = 0; j < d; j++) in[W * j + l] = AT(v, j, l < n ? l : 0, d);
    emulator_coord_lanes_at(&e->c, in, at->psi, at->x, at->q, at->prior);
    for (int j = 0; j < d; j++)
        for (int l = 0; l < W; l++) {
            double s = at->x[W * j + l] - e->x0[j];
            for (int i = 0; i < j; i++) s -= AT(e->metric, j, i, d) * at->z[W * i + l];
            at->z[W * j + l] = s / AT(e->metric, j, j, d);
        }
}

/* out (d) <- point l. */
static void take_one(int d, const double *four, int l, double *out)
{
    for (int j = 0; j < d; j++) out[j] = four[W * j + l];
}

static void trend_of(const struct emulator *e, const struct four *at, int l, double *h)
{
    double x[EMULATOR_MAX_D], q[EMULATOR_MAX_D];
    take_one(e->d, at->x, l, x);
    take_one(e->d, at->q, l, q);
    emulator_coord_trend(&e->c, x, q, h);
}

void emulator_places(struct emulator *e, int n, const double *v, double *psi, double *x,
                     double *z, double *const *h)
{
    size_t d = (size_t) e->d;
    for (int i = 0; i < n && !lanes_here(); i++) {
        size_t at = (size_t) i * d;
        emulator_place(e, v + at, psi + at, x + at, z + at, h[i] ? h[i] : e->h);
    }
    for (int i = 0; i < n && lanes_here(); i += W) {
        struct four at;
        place_four(e, n - i, v + (size_t) i * d, &at);
        for (int l = 0; l < W && i + l < n; l++) {
            size_t to = (size_t) (i + l) * d;
            take_one(e->d, at.psi, l, psi + to);
            take_one(e->d, at.x, l, x + to);
            take_one(e->d, at.z, l, z + to);
            if (h[i + l]) trend_of(e, &at, l, h[i + l]);
        }
    }
}

static void four_densities(struct emulator *e, int n, const double *v, double *f)
{
    struct four at;
    double value[W], z[EMULATOR_MAX_D];
    place_four(e, n, v, &at);
    for (int l = 0; l < W; l++) {
        trend_of(e, &at, l, e->h);
        value[l] = at.prior[l] + la_dot((size_t) e->p, e->gp.b, e->h);
    }
    emulator_gp_lanes(&e->gp, e->fits.correction ? e->shift : NULL, at.z, value);
    for (int l = 0; l < W && l < n; l++) {
        take_one(e->d, at.z, l, z);
        f[l] = isfinite(value[l]) && !is_far(e, z) ? value[l] : -INFINITY;
    }
}

void emulator_log_densities(void *emulator, int n, const double *v, double *f)
{
    struct emulator *e = emulator;
    size_t d = (size_t) e->d;
    bool lanes = lanes_here();
    for (int i = 0; i < n && !lanes; i++)
        f[i] = emulator_log_density(e, v + (size_t) i * d);
    for (int i = 0; i < n && lanes; i += W)
        four_densities(e, n - i, v + (size_t) i * d, f + i);
}
