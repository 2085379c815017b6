/* emulator_rule.c: see emulator_rule.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/la.h"
#include "base/scale_free.h"
#include "engine/bend.h"
#include "engine/emulator_rule.h"

enum { ATTEMPTS = 6, SOME_TOP = 800, SOME_REST = 800, GP_BLOCK = 64 };
static const double SHORTER = 0.75;
/* The mode of a density that is trusted is within so many scales of the best fit. */
static const double NEAR_BEST = 4;

/* Sums of weights, and of the quantities less those at the peak. */
struct emulator_sums {
    double mass, y[2 * EMULATOR_MAX_D], yy[2 * EMULATOR_MAX_D];
};

/* Sublattices: the parts; what of them is even on an axis; all points; those above 6 and above 3 less than
 * the drop. */
enum { EVEN = 2, ALL = EVEN + 2 * EMULATOR_MAX_D, INNER, MIDDLE, N_SUMS };
static int even_of(int part, int axis) { return EVEN + part * EMULATOR_MAX_D + axis; }

struct emulator_rule emulator_rule_carve(const struct emulator *e,
                                         const struct emulator_settings *s,
                                         struct arena *a)
{
    struct emulator_rule r = {.d = e->d, .n_part = s->centred ? 2 : 1};
    size_t d = (size_t) e->d, n = (size_t) s->capacity, dd = d * d,
           some = SOME_TOP + SOME_REST;
    r.n_y = 2 * e->d;
    r.centre = arena_doubles(a, d);
    r.L = arena_doubles(a, dd);
    for (int i = 0; i < r.n_part; i++) {
        r.part[i] = nest_lattice_carve(e->d, s->capacity / r.n_part, false, a);
        r.table[i] = arena_ints(a, nest_lattice_table(s->capacity / r.n_part));
    }
    r.order = arena_struct(a, sizeof *r.order * n);
    r.w = arena_doubles(a, n);
    r.Y = arena_doubles(a, 2 * d * n);
    r.x = arena_doubles(a, d * n);
    r.z = arena_doubles(a, d * n);
    r.h = arena_doubles(a, (size_t) e->p * some);
    r.mean = arena_doubles(a, 2 * d);
    r.sd = arena_doubles(a, 2 * d);
    r.sums = arena_struct(a, sizeof *r.sums * N_SUMS);
    r.axis_errors = arena_doubles(a, d);
    r.next_L = arena_doubles(a, dd);
    r.next_Lx = arena_doubles(a, dd);
    r.next_centre = arena_doubles(a, d);
    r.out = arena_ints(a, n);
    r.out_w = arena_doubles(a, n);
    r.some = arena_ints(a, some);
    r.share = arena_doubles(a, some);
    r.pred_sd = arena_doubles(a, some);
    r.score = arena_doubles(a, some);
    r.picks = arena_ints(a, (size_t) s->batch);
    r.pred = arena_doubles(a, (size_t) s->batch);
    r.gp_work = arena_doubles(a, (size_t) e->gp.m * GP_BLOCK);
    r.mode = nest_work_carve(e->d, a);
    return r;
}

/* ---- points -------------------------------------------------------------------------------- */

static const struct lattice *part_of(const struct emulator_rule *r, int *at)
{
    if (*at < r->part[0].n) return &r->part[0];
    *at -= r->part[0].n;
    return &r->part[1];
}

const double *emulator_rule_point(const struct emulator_rule *r, int at)
{
    const struct lattice *l = part_of(r, &at);
    return l->psi + (size_t) at * (size_t) r->d;
}

void emulator_rule_gradient(const struct emulator_rule *r, int at, double *g)
{
    const struct lattice *l = part_of(r, &at);
    nest_lattice_gradient(r->d, r->spacing, l, r->table[l == &r->part[1]], at, g);
}

const double *emulator_rule_psi(const struct emulator_rule *r, int at)
{
    return r->Y + (size_t) at * (size_t) r->n_y; /* the first quantities */
}

double emulator_rule_value(const struct emulator_rule *r, int at)
{
    const struct lattice *l = part_of(r, &at);
    return l->log_density[at];
}

static const int *index_of(const struct emulator_rule *r, int at)
{
    const struct lattice *l = part_of(r, &at);
    return l->index + (size_t) at * (size_t) r->d;
}

/* The mode and the curvature there, unless it runs away from the best fit. */
static void first_axes(struct emulator *e, struct emulator_rule *r,
                       const struct core_hooks *h, struct core_info *info)
{
    size_t d = (size_t) e->d;
    double peak, scale[EMULATOR_MAX_D], at[EMULATOR_MAX_D],
        L[EMULATOR_MAX_D * EMULATOR_MAX_D];
    const struct target f = emulator_target(e);
    for (size_t j = 0; j < d; j++) scale[j] = r->L[j * (d + 1)];
    memcpy(at, e->v_best, sizeof(double) * d);
    memcpy(r->centre, at, sizeof(double) * d);
    memcpy(L, r->L, sizeof(double) * d * d);
    enum core_status st = nest_mode(&f, at, L, &peak, &r->mode, h, info);
    if (st != CORE_OK && st != CORE_MAXIT) return;
    for (size_t j = 0; j < d; j++)
        if (!(fabs(at[j] - e->v_best[j]) < NEAR_BEST * scale[j])) return;
    memcpy(r->centre, at, sizeof(double) * d);
    memcpy(r->L, L, sizeof(double) * d * d);
}

/* The cubic lattice, or the two of the centred one, a quarter of its long diagonal beside the centre. */
static enum core_status grow(struct emulator *e, const struct emulator_settings *s,
                             struct emulator_rule *r, const struct core_hooks *h,
                             struct core_info *info)
{
    const struct target f = emulator_target(e);
    double step = r->spacing = r->n_part > 1 ? sqrt(2.0) * s->step : s->step;
    for (int i = 0; i < r->n_part; i++) {
        double at[EMULATOR_MAX_D];
        for (int j = 0; j < r->d; j++) {
            at[j] = r->centre[j];
            for (int k = 0; k < r->d && r->n_part > 1; k++)
                at[j] += (i ? 0.25 : -0.25) * step * AT(r->L, j, k, r->d);
        }
        r->part[i].n = 0;
        enum core_status st =
            nest_lattice(&f, at, r->L, step, s->drop, &r->part[i], r->table[i], h, info);
        if (st) return st;
    }
    r->n = r->part[0].n + (r->n_part > 1 ? r->part[1].n : 0);
    return CORE_OK;
}

/* ---- moments --------------------------------------------------------------------------------- */

/* y (d) <- the SDs and correlations at psi that the user reads; of a parameter without a matrix exp(-psi / 2). */
static void users_scales(const struct emulator *e, const double *psi, double *y)
{
    const struct lmm *m = e->c.m;
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision *pr = &m->prec[k];
        int r = pr->r;
        double S[EMULATOR_MAX_D * EMULATOR_MAX_D], A[EMULATOR_MAX_D * EMULATOR_MAX_D],
            sd[EMULATOR_MAX_D];
        if (r == 1) {
            y[pr->at] = exp(-0.5 * psi[pr->at]);
            continue;
        }
        scale_free_root(r, psi + pr->at, S);
        if (pr->map)
            la_matmul(r, pr->map, S, A);
        else
            memcpy(A, S, sizeof(double) * (size_t) (r * r));
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) {
                double s = 0;
                for (int i = 0; i < r; i++) s += AT(A, a, i, r) * AT(A, b, i, r);
                y[pr->at + vech_at(r, a, b)] = s;
            }
        for (int a = 0; a < r; a++) sd[a] = sqrt(y[pr->at + vech_at(r, a, a)]);
        for (int b = 0; b < r; b++)
            for (int a = b; a < r; a++) {
                double *at = y + pr->at + vech_at(r, a, b);
                *at = a == b ? sd[a] : *at / (sd[a] * sd[b]);
            }
    }
}

/* Relative weights, and the quantities at every point. */
static double weigh(const struct emulator *e, struct emulator_rule *r)
{
    double peak = -INFINITY, psi[EMULATOR_MAX_D];
    size_t d = (size_t) r->d;
    for (int i = 0; i < r->n; i++) peak = fmax(peak, emulator_rule_value(r, i));
    for (int i = 0; i < r->n; i++) {
        double *y = r->Y + (size_t) i * 2 * d;
        r->w[i] = exp(emulator_rule_value(r, i) - peak);
        bend_to_psi(e->d, e->c.bend, emulator_rule_point(r, i), psi);
        memcpy(y, psi, sizeof(double) * d);
        users_scales(e, psi, y + d);
        if (r->w[i] == 0) memset(y, 0, sizeof(double) * 2 * d); /* SDs beyond numbers */
    }
    return peak;
}

static void add(struct emulator_sums *s, int k, double w, const double *y)
{
    s->mass += w;
    for (int j = 0; j < k; j++) {
        double wy = w * y[j];
        s->y[j] += wy;
        s->yy[j] += wy * y[j];
    }
}

static void take_in(struct emulator_sums *s, int k, const struct emulator_sums *other)
{
    s->mass += other->mass;
    for (int j = 0; j < k; j++) {
        s->y[j] += other->y[j];
        s->yy[j] += other->yy[j];
    }
}

/* Sums of all sublattices, in one pass. */
static void add_up(struct emulator_rule *r, double drop)
{
    int k = r->n_y, peak = 0;
    double inner = exp(6 - drop), middle = exp(3 - drop);
    struct emulator_sums *s = r->sums;
    memset(s, 0, sizeof *s * N_SUMS);
    for (int i = 1; i < r->n; i++)
        if (r->w[i] > r->w[peak]) peak = i;
    for (int i = 0; i < r->n; i++) {
        int part = i >= r->part[0].n;
        const double *Y = r->Y + (size_t) i * (size_t) k,
                     *Y0 = r->Y + (size_t) peak * (size_t) k;
        const int *index = index_of(r, i);
        double w = r->w[i], y[2 * EMULATOR_MAX_D];
        if (!(w > 0)) continue;
        for (int j = 0; j < k; j++) y[j] = Y[j] - Y0[j];
        add(&s[part], k, w, y);
        for (int j = 0; j < r->d; j++)
            if (index[j] % 2 == 0) add(&s[even_of(part, j)], k, w, y);
        if (w > inner) add(&s[INNER], k, w, y);
        if (w > middle) add(&s[MIDDLE], k, w, y);
    }
    take_in(&s[ALL], k, &s[0]);
    take_in(&s[ALL], k, &s[1]);
    for (int j = 0; j < k; j++) {
        double m = s[ALL].y[j] / s[ALL].mass;
        r->mean[j] = r->Y[(size_t) peak * (size_t) k + (size_t) j] + m;
        r->sd[j] = sqrt(fmax(s[ALL].yy[j] / s[ALL].mass - m * m, 0));
    }
}

static double sd_of(const struct emulator_sums *s, int j)
{
    double m = s->y[j] / s->mass;
    return sqrt(fmax(s->yy[j] / s->mass - m * m, 0));
}

/* The largest change of a mean or SD, in SDs, or of the log evidence, from one sublattice to a coarser one
 * of cells `factor` times as large. */
static double change(const struct emulator_rule *r, int fine, int coarse, double factor)
{
    const struct emulator_sums *a = &r->sums[fine], *b = &r->sums[coarse];
    double most = fabs(log(b->mass * factor / a->mass));
    for (int j = 0; j < r->n_y; j++) {
        double sd = sd_of(a, j);
        most = fmax(most, fabs(a->y[j] / a->mass - b->y[j] / b->mass) / sd);
        most = fmax(most, fabs(sd - sd_of(b, j)) / sd);
    }
    return isfinite(most) ? most : INFINITY;
}

/* A lattice of twice the step along an axis makes an error e, so this one makes e^2 there at most, e^4 of a
 * normal density. */
static void axis_errors(struct emulator_rule *r)
{
    for (int j = 0; j < r->d; j++) {
        double e = 0;
        for (int i = 0; i < r->n_part; i++) e = fmax(e, change(r, i, even_of(i, j), 2));
        r->axis_errors[j] = e * e;
    }
}

/* The error of the rule. That of the centred lattice by each of its halves, whose own is that of a cubic
 * one. */
static double rule_error(struct emulator_rule *r)
{
    double e = 0;
    if (r->n_part > 1) {
        e = change(r, ALL, 0, 2);
        return e * e;
    }
    for (int j = 0; j < r->d; j++) e = fmax(e, r->axis_errors[j]);
    return e;
}

/* What lies beyond follows, as a geometric series, from what the last layers added. */
static double beyond(const struct emulator_rule *r)
{
    double first = change(r, MIDDLE, INNER, 1), last = change(r, ALL, MIDDLE, 1),
           ratio = fmin(last / fmax(first, 1e-300), 0.9);
    return last * ratio / (1 - ratio);
}

/* Shortens the axes that need it; false: none does. */
static bool refine(struct emulator_rule *r, double rule, double tol)
{
    double most = 0;
    if (!(rule > tol)) return false;
    /* of a normal density log e goes with the inverse square of the step */
    double by = r->n_part > 1 && rule < 0.5 ? sqrt(log(rule) / log(tol)) : SHORTER;
    by = fmax(SHORTER, 0.98 * by);
    for (int j = 0; j < r->d; j++) most = fmax(most, r->axis_errors[j]);
    for (int j = 0; j < r->d; j++) {
        if (r->n_part > 1 ? r->axis_errors[j] < 0.25 * most : r->axis_errors[j] < tol)
            continue;
        for (int i = 0; i < r->d; i++) AT(r->L, i, j, r->d) *= by;
    }
    return true;
}

static double log_cell(const struct emulator_rule *r, double step)
{
    double sum = r->d * log(step);
    if (r->n_part > 1) sum += (0.5 * r->d - 1) * 0.693147180559945309417232121458;
    double A[EMULATOR_MAX_D * EMULATOR_MAX_D]; /* log |L| by elimination of L'L */
    for (int j = 0; j < r->d; j++)
        for (int i = j; i < r->d; i++)
            AT(A, i, j, r->d) = la_dot((size_t) r->d, r->L + i * r->d, r->L + j * r->d);
    if (la_chol(r->d, A)) return NAN;
    return sum + 0.5 * la_logdet(r->d, A);
}

/* ---- what it says of the next round ---------------------------------------------------------- */

static int by_weight(const void *a, const void *b)
{
    const struct emulator_ranked *x = a, *y = b;
    return x->w < y->w ? 1 : x->w > y->w ? -1 : (x->at > y->at) - (x->at < y->at);
}

/* w <- shares of the mass; order, and how many are kept. */
static void rank(struct emulator_rule *r, double negligible)
{
    double mass = 0, sum = 0;
    for (int i = 0; i < r->n; i++) mass += r->w[i];
    for (int i = 0; i < r->n; i++) {
        r->w[i] /= mass;
        r->order[i] = (struct emulator_ranked){r->w[i], i};
    }
    qsort(r->order, (size_t) r->n, sizeof *r->order, by_weight);
    for (r->kept = 0; r->kept < r->n && sum < 1 - negligible; r->kept++)
        sum += r->order[r->kept].w;
}

/* The points of most weight, all of them, and every so manieth of the others in their place. */
static void choose_some(struct emulator_rule *r)
{
    int rest = r->kept - SOME_TOP,
        every = rest > SOME_REST ? (rest - 1) / SOME_REST + 1 : 1;
    r->n_some = 0;
    for (int k = 0; k < r->kept; k += k < SOME_TOP ? 1 : every) {
        r->some[r->n_some] = k;
        r->share[r->n_some++] = k < SOME_TOP ? 1 : every;
    }
}

/* x, z of the points kept; h of some of them. */
static void place_kept(struct emulator *e, struct emulator_rule *r)
{
    enum { LOT = 32 };
    size_t d = (size_t) r->d;
    int next = 0;
    for (int k = 0; k < r->kept; k += LOT) {
        int n = r->kept - k < LOT ? r->kept - k : LOT;
        double v[LOT * EMULATOR_MAX_D], psi[LOT * EMULATOR_MAX_D], *h[LOT];
        for (int i = 0; i < n; i++) {
            bool some = next < r->n_some && r->some[next] == k + i;
            memcpy(v + (size_t) i * d, emulator_rule_point(r, r->order[k + i].at),
                   sizeof(double) * d);
            h[i] = some ? r->h + (size_t) next * (size_t) e->p : NULL;
            next += some;
        }
        size_t at = (size_t) k * d;
        emulator_places(e, n, v, psi, r->x + at, r->z + at, h);
    }
}

/* L <- a root of the covariance of y (d x kept), centre <- its mean; `floor` of each variance is added. */
static bool spread(const struct emulator_rule *r, bool of_v, double floor, double *centre,
                   double *L)
{
    size_t d = (size_t) r->d;
    double sum = 0;
    memset(centre, 0, sizeof(double) * d);
    memset(L, 0, sizeof(double) * d * d);
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < r->kept; k++) {
            const double *y =
                of_v ? emulator_rule_point(r, r->order[k].at) : r->x + (size_t) k * d;
            double w = r->order[k].w;
            if (pass == 0) sum += w;
            for (size_t j = 0; j < d; j++) {
                if (pass == 0) centre[j] += w * y[j];
                for (size_t i = j; i < d && pass; i++)
                    L[i + j * d] += w / sum * (y[i] - centre[i]) * (y[j] - centre[j]);
            }
            if (pass == 0 && k == r->kept - 1)
                for (size_t j = 0; j < d; j++) centre[j] /= sum;
        }
    for (size_t j = 0; j < d; j++) L[j * (d + 1)] += floor * L[j * (d + 1)] + 1e-8;
    if (la_chol(r->d, L)) return false;
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < j; i++) L[i + j * d] = 0;
    return true;
}

/* ---- the nodes handed over -------------------------------------------------------------------- */

/* The weight below which points are thinned to it: sum min(1, w / limit) = most. */
static double thin_limit(const struct emulator_rule *r, int most)
{
    double left = 0;
    for (int k = 0; k < r->kept; k++) left += r->order[k].w;
    for (int k = 0; k < most; k++) { /* by falling weight: the k first stay */
        if (r->order[k].w * (most - k) <= left) return left / (most - k);
        left -= r->order[k].w;
    }
    return 0;
}

/* All points, or `most`: those above the limit, and one for every limit of the others' mass. */
static void thin(struct emulator_rule *r, int most)
{
    double limit = r->kept > most ? thin_limit(r, most) : 0, sum = 0.5 * limit;
    r->n_out = 0;
    for (int k = 0; k < r->kept; k++) {
        double w = r->order[k].w;
        if (w < limit) {
            sum += w;
            if (sum < limit) continue;
            sum -= limit;
            w = limit;
        }
        r->out[r->n_out] = k;
        r->out_w[r->n_out++] = w;
    }
}

enum { MAX_MOMENTS = 1 + 4 * EMULATOR_MAX_D };

/* b <- 1, t, t^2 - 1 of the standardised quantities. */
static void moment_basis(const struct emulator_rule *r, int k, double *b)
{
    const double *y = r->Y + (size_t) r->order[k].at * (size_t) r->n_y;
    b[0] = 1;
    for (int j = 0; j < r->n_y; j++) {
        double t = (y[j] - r->mean[j]) / r->sd[j];
        b[1 + j] = t;
        b[1 + r->n_y + j] = t * t - 1;
    }
}

/* out_w <- the nearest weights, in sum (w' - w)^2 / w, of sum 1, means 0 and variances 1. */
static void calibrate(struct emulator_rule *r)
{
    int p = 1 + 2 * r->n_y;
    double B[MAX_MOMENTS * MAX_MOMENTS] = {0}, c[MAX_MOMENTS] = {0}, b[MAX_MOMENTS],
                           sum = 0;
    for (int i = 0; i < r->n_out; i++) {
        moment_basis(r, r->out[i], b);
        for (int j = 0; j < p; j++) {
            c[j] -= r->out_w[i] * b[j];
            for (int k = j; k < p; k++) AT(B, k, j, p) += r->out_w[i] * b[k] * b[j];
        }
    }
    c[0] += 1;
    for (int j = 0; j < p; j++) AT(B, j, j, p) *= 1 + 1e-7;
    if (!la_chol(p, B)) {
        la_solve_l(p, B, c);
        la_solve_lt(p, B, c);
    } else {
        memset(c, 0, sizeof c);
    }
    for (int i = 0; i < r->n_out; i++) {
        moment_basis(r, r->out[i], b);
        r->out_w[i] *= fmax(0, 1 + la_dot((size_t) p, c, b));
        sum += r->out_w[i];
    }
    for (int i = 0; i < r->n_out; i++) r->out_w[i] /= sum;
}

/* The predictive SDs, the emulator's error, and what each point offers as a fit. */
static void judge(struct emulator *e, const struct emulator_settings *s,
                  struct emulator_rule *r)
{
    size_t d = (size_t) r->d, k = (size_t) r->n_y;
    double first[2 * EMULATOR_MAX_D] = {0}, second[2 * EMULATOR_MAX_D] = {0}, mass = 0;
    for (int i = 0; i < r->n_some; i += GP_BLOCK) {
        int count = r->n_some - i < GP_BLOCK ? r->n_some - i : GP_BLOCK;
        double z[GP_BLOCK * EMULATOR_MAX_D];
        for (int b = 0; b < count; b++)
            memcpy(z + (size_t) b * d, r->z + (size_t) r->some[i + b] * d,
                   sizeof(double) * d);
        emulator_gp_sd(&e->gp, count, z, r->h + (size_t) i * (size_t) e->p,
                       r->pred_sd + i, r->gp_work);
    }
    for (int i = 0; i < r->n_some; i++) {
        const struct emulator_ranked *o = &r->order[r->some[i]];
        const double *y = r->Y + (size_t) o->at * k;
        double ws = o->w * fmin(s->kappa * r->pred_sd[i], 5), reach = 0;
        for (size_t j = 0; j < k; j++) {
            double t = fabs(y[j] - r->mean[j]) / fmax(r->sd[j], 1e-300);
            first[j] += r->share[i] * ws * t;
            second[j] += 0.5 * r->share[i] * ws * fabs(t * t - 1);
            reach = fmax(reach, t);
        }
        mass += r->share[i] * ws;
        reach = fmin(reach, 5);
        r->score[i] = ws * (1 + 0.5 * reach * reach);
    }
    r->gp = mass;
    for (size_t j = 0; j < k; j++) r->gp = fmax(r->gp, fmax(first[j], second[j]));
}

static void pick(struct emulator *e, const struct emulator_settings *s,
                 struct emulator_rule *r)
{
    size_t d = (size_t) r->d;
    double ell = fmin(e->gp.ell, 2);
    for (int b = 0; b < s->batch; b++) {
        int best = 0;
        for (int i = 1; i < r->n_some; i++)
            if (r->score[i] > r->score[best]) best = i;
        r->picks[b] = best;
        const double *z = r->z + (size_t) r->some[best] * d;
        r->pred[b] = emulator_gp_mean(&e->gp, z, r->h + (size_t) best * (size_t) e->p) +
                     emulator_shift(e, z);
        for (int i = 0; i < r->n_some; i++) {
            const double *y = r->z + (size_t) r->some[i] * d;
            double s2 = 0;
            for (size_t j = 0; j < d; j++) s2 += (y[j] - z[j]) * (y[j] - z[j]);
            r->score[i] *= -expm1(-0.5 * s2 / (ell * ell));
        }
    }
}

enum core_status emulator_rule_run(struct emulator *e, const struct emulator_settings *s,
                                   bool known, struct emulator_rule *r,
                                   const struct core_hooks *h, struct core_info *info)
{
    double peak = 0, centre[EMULATOR_MAX_D];
    if (!known) first_axes(e, r, h, info);
    refine(r, r->rule, s->tol);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        enum core_status st = grow(e, s, r, h, info);
        if (st) return st;
        peak = weigh(e, r);
        add_up(r, s->drop);
        axis_errors(r);
        r->rule = rule_error(r);
        if (!isfinite(peak)) return CORE_NONFINITE;
        if (attempt + 1 == ATTEMPTS || !refine(r, r->rule, s->tol)) break;
    }
    r->truncation = beyond(r);
    r->log_evidence = e->top + peak + log(r->sums[ALL].mass) + log_cell(r, s->step);
    rank(r, s->negligible);
    choose_some(r);
    place_kept(e, r);
    if (!spread(r, true, 1e-6, r->next_centre, r->next_L) ||
        !spread(r, false, 1e-4, centre, r->next_Lx))
        return CORE_NONFINITE;
    thin(r, s->nodes);
    calibrate(r);
    judge(e, s, r);
    pick(e, s, r);
    return CORE_OK;
}
