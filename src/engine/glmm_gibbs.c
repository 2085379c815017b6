/* glmm_gibbs.c: the moves of the sampler, one function each (see glmm_gibbs.h). */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/rand_pg.h"
#include "engine/glmm_gibbs.h"

enum { RR = VECH_MAX_R * VECH_MAX_R, MAX_LEAPFROG = 64, MAX_NEWTON = 50 };
static const double QUARTER_TURN =
    1.5707963267948966; /* a Gaussian forgets its position */
static const double TARGET_ACCEPT = 0.9;

struct glmm_gibbs_work glmm_gibbs_work_carve(const struct glmm *m, struct arena *a)
{
    struct glmm_gibbs_work w = {.g = gibbs_work_carve(&m->lmm, a)};
    size_t dim = arrow_dim(&m->lmm.shape), n = m->n;
    struct glmm_reference *ref = &w.ref;
    ref->lmm = lmm_terms(&m->lmm);
    ref->lmm.G = arrow_carve(&m->lmm.shape, a);
    ref->lmm.h = ref->h = arena_doubles(a, dim);
    double **per_row[] = {&ref->eta,     &ref->score,     &ref->weight,
                          &ref->sum_eta, &ref->sum_score, &ref->sum_weight,
                          &w.eta,        &w.eta_new,      &w.row};
    for (size_t i = 0; i < sizeof per_row / sizeof *per_row; i++)
        *per_row[i] = arena_doubles(a, n);
    w.centre = arena_doubles(a, dim);
    w.v = arena_doubles(a, dim);
    w.theta = arena_doubles(a, dim);
    w.t = arena_doubles(a, (size_t) m->lmm.n_par);
    return w;
}

static void linear_predictor(const struct glmm *m, const double *theta, double *eta)
{
    glmm_mul(m, theta, eta);
    for (size_t i = 0; i < m->n; i++) eta[i] += m->offset[i];
}

/* Without its constant; -inf or NaN where it overflows. */
static double log_likelihood(const struct glmm *m, const double *extra, const double *eta)
{
    const struct likelihood_rows rows = glmm_rows(m);
    return m->likelihood->value(&rows, extra, eta, NULL);
}

static void slopes(const struct glmm *m, const double *extra, const double *eta,
                   double *score, double *weight)
{
    const struct likelihood_rows rows = glmm_rows(m);
    m->likelihood->score(&rows, extra, eta, score, weight);
}

/* ---- the reference quadratic ---------------------------------------------------------- */

/* G and h from the weights and g_0 + w_0 (eta_0 - offset), row by row. */
static void set_gaussian(const struct glmm *m, struct glmm_reference *ref,
                         const double *weight, const double *row)
{
    /* products with G read what is off the pattern */
    memset(ref->lmm.G.global, 0, sizeof(double) * arrow_global_size(&m->lmm.shape));
    glmm_gram(m, weight, &ref->lmm.G);
    glmm_adjoint(m, row, ref->h);
}

/* From eta, score and weight of the reference. */
static void set_reference(const struct glmm *m, struct glmm_gibbs_work *w)
{
    struct glmm_reference *ref = &w->ref;
    for (size_t i = 0; i < m->n; i++)
        w->row[i] = ref->score[i] + ref->weight[i] * (ref->eta[i] - m->offset[i]);
    set_gaussian(m, ref, ref->weight, w->row);
}

/* Factor P(t) and leave the mode of the quadratic in `centre`. */
static enum core_status reference_mode(const struct glmm *m, const double *t,
                                       struct glmm_gibbs_work *w, struct core_info *info)
{
    lmm_precision(&w->ref.lmm, t, &w->g.P);
    enum core_status st = arrow_factor(&m->lmm.shape, &w->g.P, &w->g.F, info);
    if (st) return st;
    lmm_rhs(&w->ref.lmm, 1, w->centre);
    arrow_solve(&m->lmm.shape, &w->g.F, w->centre);
    return CORE_OK;
}

/* log p(y | eta) - (theta - mu)'T(theta - mu) / 2, eta = C theta into eta. */
static double penalised(const struct glmm *m, const struct glmm_gibbs_state *s,
                        struct glmm_gibbs_work *w, const double *theta, double *eta)
{
    double quad = 0, *x = w->g.dev;
    linear_predictor(m, theta, eta);
    lmm_prior_gradient(&m->lmm, s->g.t, theta, x);
    for (size_t i = 0; i < arrow_dim(&m->lmm.shape); i++)
        quad += x[i] *
                (theta[i] - (!m->lmm.flat && i < (size_t) m->lmm.p ? m->lmm.mu[i] : 0));
    return log_likelihood(m, s->g.t, eta) - 0.5 * quad;
}

/* Halve the step from theta to centre until the penalised likelihood rises; false when it
 * does not. */
static bool newton_step(const struct glmm *m, struct glmm_gibbs_state *s,
                        struct glmm_gibbs_work *w, double *value)
{
    size_t dim = arrow_dim(&m->lmm.shape);
    for (double step = 1; step > 1e-6; step /= 2) {
        for (size_t i = 0; i < dim; i++)
            w->theta[i] = s->g.theta[i] + step * (w->centre[i] - s->g.theta[i]);
        double next = penalised(m, s, w, w->theta, w->eta_new);
        if (!(next > *value)) continue;
        bool more = next - *value > 1e-3; /* a reference need not be exact */
        *value = next;
        memcpy(s->g.theta, w->theta, sizeof(double) * dim);
        return more;
    }
    return false;
}

/* The first reference: second-order expansion at the mode of theta given t. */
static enum core_status laplace_reference(const struct glmm *m,
                                          struct glmm_gibbs_state *s,
                                          struct glmm_gibbs_work *w,
                                          struct core_info *info)
{
    struct glmm_reference *ref = &w->ref;
    size_t dim = arrow_dim(&m->lmm.shape);
    const struct likelihood_rows rows = glmm_rows(m);
    m->likelihood->start(&rows, s->g.t, ref->eta, ref->weight);
    double value = -INFINITY;
    for (int it = 0; it < MAX_NEWTON; it++) {
        slopes(m, s->g.t, ref->eta, ref->score, ref->weight);
        set_reference(m, w);
        enum core_status st = reference_mode(m, s->g.t, w, info);
        if (st) return st;
        if (it == 0) memcpy(s->g.theta, w->centre, sizeof(double) * dim);
        if (it == 0)
            value = penalised(m, s, w, s->g.theta, ref->eta);
        else if (!newton_step(m, s, w, &value))
            break;
        linear_predictor(m, s->g.theta, ref->eta);
    }
    return isfinite(value) ? CORE_OK : CORE_NONFINITE;
}

static void start_window(const struct glmm *m, struct glmm_reference *ref)
{
    size_t bytes = sizeof(double) * m->n;
    memset(ref->sum_eta, 0, bytes);
    memset(ref->sum_score, 0, bytes);
    memset(ref->sum_weight, 0, bytes);
    ref->count = 0;
}

/* Add the state to the window's sums. Overwrites `row` and `eta_new`. */
static void record_window(const struct glmm *m, const struct glmm_gibbs_state *s,
                          struct glmm_gibbs_work *w)
{
    struct glmm_reference *ref = &w->ref;
    slopes(m, s->g.t, w->eta, w->row, w->eta_new);
    for (size_t i = 0; i < m->n; i++) {
        ref->sum_eta[i] += w->eta[i];
        ref->sum_score[i] += w->row[i];
        ref->sum_weight[i] += w->eta_new[i];
    }
    ref->count++;
}

/* The new reference: posterior means of eta, score and weight, as a Gaussian variational
 * approximation would have them. */
static void end_window(const struct glmm *m, struct glmm_gibbs_work *w)
{
    struct glmm_reference *ref = &w->ref;
    for (size_t i = 0; i < m->n; i++) {
        ref->eta[i] = ref->sum_eta[i] / ref->count;
        ref->score[i] = ref->sum_score[i] / ref->count;
        ref->weight[i] = ref->sum_weight[i] / ref->count;
    }
    set_reference(m, w);
    start_window(m, ref);
}

/* ---- theta ------------------------------------------------------------------------------ */

/* log likelihood less the reference quadratic. */
static double remainder_value(const struct glmm *m, const double *extra,
                              const struct glmm_reference *ref, const double *eta)
{
    double quad = 0;
    for (size_t i = 0; i < m->n; i++) {
        double d = eta[i] - ref->eta[i];
        quad += d * (ref->score[i] - 0.5 * ref->weight[i] * d);
    }
    return log_likelihood(m, extra, eta) - quad;
}

/* x <- F^-1 C'(gradient of the remainder), the force in whitened coordinates. */
static void remainder_force(const struct glmm *m, const double *extra,
                            struct glmm_gibbs_work *w, const double *eta, double *x)
{
    const struct glmm_reference *ref = &w->ref;
    slopes(m, extra, eta, w->row, NULL);
    for (size_t i = 0; i < m->n; i++)
        w->row[i] -= ref->score[i] - ref->weight[i] * (eta[i] - ref->eta[i]);
    glmm_adjoint(m, w->row, x);
    arrow_forwardsolve(&m->lmm.shape, &w->g.F, x);
}

static double half_norm(size_t n, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return 0.5 * sum;
}

static void kick(size_t n, double step, const double *force, double *z)
{
    for (size_t i = 0; i < n; i++) z[i] += step * force[i];
}

/* The exact flow of (|v|^2 + |z|^2) / 2. */
static void rotate(size_t n, double angle, double *v, double *z)
{
    double c = cos(angle), s = sin(angle);
    for (size_t i = 0; i < n; i++) {
        double vi = v[i];
        v[i] = c * vi + s * z[i];
        z[i] = c * z[i] - s * vi;
    }
}

/* v <- F'(theta - centre), as F^-1 P (theta - centre). */
static void whiten(const struct glmm *m, const double *theta, struct glmm_gibbs_work *w)
{
    for (size_t i = 0; i < arrow_dim(&m->lmm.shape); i++)
        w->theta[i] = theta[i] - w->centre[i];
    arrow_mul(&m->lmm.shape, &w->g.P, w->theta, w->v);
    arrow_forwardsolve(&m->lmm.shape, &w->g.F, w->v);
}

/* theta <- centre + F^-T v, eta <- C theta. */
static void to_theta(const struct glmm *m, struct glmm_gibbs_work *w)
{
    size_t dim = arrow_dim(&m->lmm.shape);
    memcpy(w->theta, w->v, sizeof(double) * dim);
    arrow_unwhiten(&m->lmm.shape, &w->g.F, w->centre, w->theta);
    linear_predictor(m, w->theta, w->eta_new);
}

/* Steps to a quarter turn. A step that tuning has made zero or NaN is no number of them. */
static int leapfrog_steps(double step)
{
    double steps = QUARTER_TURN / step + 0.5;
    return !(steps < MAX_LEAPFROG) ? MAX_LEAPFROG : steps < 1 ? 1 : (int) steps;
}

/* One trajectory of about a quarter turn from (v, z) with energy
 *     H = |v|^2 / 2 + |z|^2 / 2 - remainder(theta(v)),   v = F'(theta - centre):
 * kicks by the remainder's force between rotations. accept <- min(1, e^(H - H')), 0 where the
 * trajectory overflows; the state moves with that probability. */
static enum core_status move_hamiltonian(const struct glmm *m, struct glmm_gibbs_state *s,
                                         struct glmm_gibbs_work *w, double step,
                                         double *accept, struct core_info *info)
{
    size_t dim = arrow_dim(&m->lmm.shape);
    double *z = w->g.z, *force = w->g.dev, *v = w->v;
    enum core_status st = reference_mode(m, s->g.t, w, info);
    if (st) return st;
    whiten(m, s->g.theta, w);
    rand_normals(&w->g.zig, dim, z);
    int steps = leapfrog_steps(step);
    step *= 0.8 + 0.4 * rand_uniform(); /* no trajectory can resonate */
    double start = half_norm(dim, v) + half_norm(dim, z) -
                   remainder_value(m, s->g.t, &w->ref, w->eta);
    remainder_force(m, s->g.t, w, w->eta, force);
    kick(dim, step / 2, force, z);
    for (int k = 1; k <= steps; k++) {
        rotate(dim, step, v, z);
        to_theta(m, w);
        remainder_force(m, s->g.t, w, w->eta_new, force);
        kick(dim, k < steps ? step : step / 2, force, z);
    }
    double end = half_norm(dim, v) + half_norm(dim, z) -
                 remainder_value(m, s->g.t, &w->ref, w->eta_new);
    double gain = start - end;
    *accept = isfinite(gain) ? (gain > 0 ? 1 : exp(gain)) : 0;
    if (rand_uniform() < *accept) {
        memcpy(s->g.theta, w->theta, sizeof(double) * dim);
        memcpy(w->eta, w->eta_new, sizeof(double) * m->n);
    }
    return CORE_OK;
}

/* ---- step size --------------------------------------------------------------------------- */

static struct glmm_averaging averaging_start(double step)
{
    return (struct glmm_averaging){.anchor = log(10 * step), .log_step = log(step)};
}

static double averaging_update(struct glmm_averaging *a, double accept)
{
    double n = ++a->count, eta = pow(n, -0.75);
    a->error += (TARGET_ACCEPT - accept - a->error) / (n + 10);
    a->log_step = a->anchor - sqrt(n) / 0.05 * a->error;
    if (a->log_step > log(QUARTER_TURN)) a->log_step = log(QUARTER_TURN);
    a->log_mean = eta * a->log_step + (1 - eta) * a->log_mean;
    return exp(a->log_step);
}

/* ---- scale moves and the extra parameter ------------------------------------------------ */

struct glmm_scale {
    struct scale_prior prior;
    const struct glmm *m;
    const double *extra, *eta, *part;
    double *moved;
};

static double glmm_scale_log_density(double x, const void *ctx)
{
    const struct glmm_scale *v = ctx;
    double gain = exp(x) - 1;
    for (size_t i = 0; i < v->m->n; i++) v->moved[i] = v->eta[i] + gain * v->part[i];
    return log_likelihood(v->m, v->extra, v->moved) + gibbs_scale_log_prior(&v->prior, x);
}

static double covariate(const double *z, int r, size_t i, int a)
{
    return z ? z[i * (size_t) r + (size_t) a] : 1.0;
}

/* part <- what coefficient i of precision k adds to every eta. */
static void coefficient_part(const struct glmm *m, const double *theta, int k, int i,
                             double *part)
{
    const struct precision *pr = &m->lmm.prec[k];
    const struct arrow_shape *shape = &m->lmm.shape;
    if (pr->leaf) {
        for (int l = 0; l < shape->n_leaf; l++) {
            double u = theta[lmm_coef(&m->lmm, k, l) + (size_t) i];
            for (size_t j = m->start[l]; j < m->start[l + 1]; j++)
                part[j] = u * covariate(m->z, shape->r, j, pr->first + i);
        }
        return;
    }
    int from = pr->first - pr->block + i; /* column of the coefficient in its factor */
    const struct glmm_factor *x = &m->other[pr->factor - 1];
    for (size_t j = 0; j < m->n; j++)
        part[j] = theta[x->col[j] + from] * covariate(x->z, x->r, j, from);
}

/* Interweaving under the likelihood itself: u -> a u and its precision, for coefficient i of
 * precision k. After Polya-Gamma omega is integrated out here, and drawn anew before it is used. */
static void move_scale(void *ctx, int k, int i)
{
    const struct glmm_gibbs_chain *c = ctx;
    const struct glmm *m = c->m;
    struct glmm_gibbs_state *s = c->s;
    struct glmm_gibbs_work *w = c->w;
    struct glmm_scale v = {.prior = gibbs_scale_prior(&m->lmm, s->g.t, k, i),
                           .m = m,
                           .extra = s->g.t,
                           .eta = w->eta,
                           .part = w->row,
                           .moved = w->eta_new};
    coefficient_part(m, s->g.theta, k, i, w->row);
    double x =
        rand_slice(0, gibbs_scale_width(&m->lmm.prec[k]), glmm_scale_log_density, &v);
    gibbs_apply_scale(&m->lmm, s->g.t, s->g.theta, k, i, exp(x));
    for (size_t j = 0; j < m->n; j++) w->eta[j] += (exp(x) - 1) * w->row[j];
}

struct whitened_move {
    const struct glmm *m;
    struct glmm_gibbs_work *w;
    struct scale_prior prior;
    const double *t;
    int k, i;
    bool
        gaussian; /* the quadratic is the likelihood (given omega): no remainder, no theta */
};

/* Log density of (v, t moved) up to a constant, and theta, eta of it in w. With the quadratic
 * written about its mode c(t): value there + log |T| / 2 - log |P| / 2, and the remainder. */
static double whitened_log_density(double x, const void *ctx)
{
    const struct whitened_move *u = ctx;
    const struct lmm *lmm = &u->m->lmm;
    struct glmm_gibbs_work *w = u->w;
    struct core_info ignored;
    memcpy(w->t, u->t, sizeof(double) * (size_t) lmm->n_par);
    gibbs_scale_precision(lmm, w->t, u->k, u->i, exp(x));
    if (reference_mode(u->m, w->t, w, &ignored)) return -INFINITY;
    lmm_rhs(&w->ref.lmm, 1, w->g.dev);
    double value = gibbs_scale_log_prior(&u->prior, x) - lmm->prec[u->k].n_levels * x +
                   0.5 * la_dot((int) arrow_dim(&lmm->shape), w->centre, w->g.dev) -
                   0.5 * arrow_logdet(&lmm->shape, &w->g.F);
    if (u->gaussian) return value;
    to_theta(u->m, w);
    return value + remainder_value(u->m, u->t, &w->ref, w->eta_new);
}

/* A random coefficient i of the group terms' precisions k; false when there is none. */
static bool any_coefficient(const struct lmm *m, int *k, int *i)
{
    int total = 0;
    for (int j = m->first_term; j < m->n_prec; j++) total += m->prec[j].r;
    if (total == 0) return false;
    *i = (int) (rand_uniform() * total);
    for (*k = m->first_term; *i >= m->prec[*k].r; (*k)++) *i -= m->prec[*k].r;
    return true;
}

/* One coefficient of all, at random (a factorisation per evaluation makes the move dear): its
 * precision moves with the whitened v held still, not u. v is nearly independent of the precisions
 * (given omega, exactly), so that theta is as good as integrated out. It is what mixes variances
 * that trade with each other. */
static enum core_status move_whitened(const struct glmm *m, struct glmm_gibbs_state *s,
                                      struct glmm_gibbs_work *w, bool gaussian,
                                      struct core_info *info)
{
    int k, i;
    if (!any_coefficient(&m->lmm, &k, &i)) return CORE_OK;
    enum core_status st = reference_mode(m, s->g.t, w, info);
    if (st) return st;
    if (!gaussian) whiten(m, s->g.theta, w);
    const struct whitened_move u = {.m = m,
                                    .w = w,
                                    .prior = gibbs_scale_prior(&m->lmm, s->g.t, k, i),
                                    .t = s->g.t,
                                    .k = k,
                                    .i = i,
                                    .gaussian = gaussian};
    double x =
        rand_slice(0, gibbs_scale_width(&m->lmm.prec[k]), whitened_log_density, &u);
    if (!isfinite(whitened_log_density(x, &u))) return CORE_NONFINITE;
    gibbs_scale_precision(&m->lmm, s->g.t, k, i, exp(x));
    gibbs_draw_auxiliary(&m->lmm, s->g.t, k, i);
    if (gaussian) return CORE_OK; /* theta is drawn next */
    memcpy(s->g.theta, w->theta, sizeof(double) * arrow_dim(&m->lmm.shape));
    memcpy(w->eta, w->eta_new, sizeof(double) * m->n);
    return CORE_OK;
}

/* omega | theta; one precision | omega, theta integrated out; theta | omega, t. */
static enum core_status move_polya_gamma(const struct glmm *m, struct glmm_gibbs_state *s,
                                         struct glmm_gibbs_work *w, bool interweave,
                                         struct core_info *info)
{
    double *omega = w->ref.weight;
    for (size_t i = 0; i < m->n; i++) {
        omega[i] = rand_pg(m->size[i], w->eta[i]);
        w->row[i] = m->y[i] - 0.5 * m->size[i] - omega[i] * m->offset[i];
    }
    set_gaussian(m, &w->ref, omega, w->row);
    enum core_status st = interweave ? move_whitened(m, s, w, true, info) : CORE_OK;
    if (st == CORE_OK) st = gibbs_draw_theta(&w->ref.lmm, &s->g, &w->g, info);
    if (st == CORE_OK) linear_predictor(m, s->g.theta, w->eta);
    return st;
}

struct extra_move {
    const struct glmm *m;
    const double *eta;
};

/* Density of the logarithm of the extra parameter: gamma prior, Jacobian, likelihood. */
static double extra_log_density(double x, const void *ctx)
{
    const struct extra_move *v = ctx;
    const struct precision *prior = &v->m->lmm.prec[0]; /* Gamma(df0 / 2, rate0 / 2) */
    double extra = exp(x);
    return 0.5 * (prior->df0 * x - prior->rate0[0] * extra) +
           log_likelihood(v->m, &extra, v->eta);
}

/* ---- the chain ------------------------------------------------------------------------------ */

static enum core_status draw_rest(struct glmm_gibbs_chain *x, struct core_info *info)
{
    const struct glmm *m = x->m;
    struct glmm_gibbs_state *s = x->s;
    struct glmm_gibbs_work *w = x->w;
    bool moves = x->ctl.gibbs.interweave;
    if (!gibbs_draw_terms(&m->lmm, s->g.t, s->g.theta, &w->g.zig,
                          moves ? move_scale : NULL, x))
        return CORE_NONFINITE;
    if (moves && x->ctl.mover == GLMM_HMC) {
        enum core_status st = move_whitened(m, s, w, false, info);
        if (st) return st;
    }
    if (m->likelihood->n_extra) {
        struct extra_move v = {m, w->eta};
        s->g.t[0] = exp(rand_slice(log(s->g.t[0]), 1, extra_log_density, &v));
    }
    return gibbs_valid_precisions(&m->lmm, s->g.t) ? CORE_OK : CORE_NONFINITE;
}

/* The reference is refreshed after these shares of the warm-up; the last stretch only tunes
 * the step size for the final one. */
static bool window_ends(int warmup, int done)
{
    return done > 0 && (done == warmup / 8 || done == warmup / 4 || done == warmup / 2);
}

/* A start: a draw from the Gaussian approximation at the starting precisions, pulled back to
 * its mode when the likelihood there is not finite. */
static enum core_status start(void *ctx, struct core_info *info)
{
    const struct glmm_gibbs_chain *x = ctx;
    const struct glmm *m = x->m;
    struct glmm_gibbs_state *s = x->s;
    struct glmm_gibbs_work *w = x->w;
    size_t dim = arrow_dim(&m->lmm.shape);
    w->adapt = averaging_start(s->step);
    enum core_status st = laplace_reference(m, s, w, info);
    if (st) return st;
    memcpy(w->theta, s->g.theta, sizeof(double) * dim); /* the mode */
    set_reference(m, w);
    st = gibbs_draw_theta(&w->ref.lmm, &s->g, &w->g, info);
    linear_predictor(m, s->g.theta, w->eta);
    if (!isfinite(log_likelihood(m, s->g.t, w->eta)))
        memcpy(s->g.theta, w->theta, sizeof(double) * dim);
    start_window(m, &w->ref);
    return st;
}

/* One Hamiltonian move, and in the warm-up the tuning: a new reference where a window ends, the
 * step size always. past: sweeps after the warm-up, this one included. */
static enum core_status tuned_move(const struct glmm_gibbs_chain *x, int past,
                                   struct core_info *info)
{
    struct glmm_gibbs_state *s = x->s;
    struct glmm_averaging *adapt = &x->w->adapt;
    double accept = 0;
    if (past <= 0 && window_ends(x->ctl.gibbs.run.warmup, info->iter)) {
        end_window(x->m, x->w);
        *adapt = averaging_start(s->step);
    }
    enum core_status st = move_hamiltonian(x->m, s, x->w, s->step, &accept, info);
    if (past > 0) s->accept += (accept - s->accept) / past;
    if (past <= 0) s->step = averaging_update(adapt, accept);
    if (past == 0) s->step = exp(adapt->log_mean);
    return st;
}

static enum core_status sweep(void *ctx, struct core_info *info)
{
    struct glmm_gibbs_chain *x = ctx;
    bool hamiltonian = x->ctl.mover == GLMM_HMC;
    int past = info->iter + 1 - x->ctl.gibbs.run.warmup;
    linear_predictor(x->m, x->s->g.theta,
                     x->w->eta); /* the moves of a sweep only add to it */
    enum core_status st =
        hamiltonian ? tuned_move(x, past, info)
                    : move_polya_gamma(x->m, x->s, x->w, x->ctl.gibbs.interweave, info);
    if (st == CORE_OK) st = draw_rest(x, info);
    if (st == CORE_OK && hamiltonian && past < 0) record_window(x->m, x->s, x->w);
    return st;
}

static void keep(void *ctx, int row)
{
    const struct glmm_gibbs_chain *x = ctx;
    gibbs_keep(&x->m->lmm, &x->s->g, sampler_kept(&x->ctl.gibbs.run), row);
}

struct sampler glmm_gibbs_sampler(struct glmm_gibbs_chain *x)
{
    return (struct sampler){x, start, sweep, keep};
}
