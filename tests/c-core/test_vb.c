/* test_vb.c: the variational engine on a regression and on a random-intercept model. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "check.h"
#include "engine/vb.h"
#include "engine/vb_coupling.h"
#include "support.h"

struct fit {
    struct vb_state s;
    struct vb_work w;
    struct core_info info;
    enum core_status status;
};

static struct fit run(const struct lmm *m, double start, struct vb_control ctl,
                      const struct core_hooks *h)
{
    const struct arrow_shape *sh = &m->shape;
    size_t q = (size_t) m->n_par, dim = arrow_dim(sh), ng = (size_t) sh->n_global;
    struct arena count = {NULL, 0};
    vb_work_carve(m, &count);
    lr_carve((int) q, &count);
    struct arena a = arena_of(count.used);
    struct fit f = {.w = vb_work_carve(m, &a), .info = {0, -1}};
    f.s = (struct vb_state){.t = start_of(m, start, start),
                            .df = nans((size_t) m->n_prec),
                            .m = nans(dim),
                            .S_global = nans(ng * ng),
                            .d_inv = nans(arrow_leaf_size(sh)),
                            .q = nans(arrow_cross_size(sh)),
                            .s_leaf = nans(arrow_leaf_size(sh)),
                            .Sq_global = nans(ng * ng),
                            .sq_leaf = nans(arrow_leaf_size(sh)),
                            .J = nans(dim * (size_t) m->n_stat),
                            .ss = nans((size_t) m->n_stat),
                            .trace = nans((q + 3) * (size_t) ctl.max_iter)};
    f.s.lr = lr_carve((int) q, &a);
    CHECK(a.used == count.used);
    f.status = vb_run(m, &ctl, &f.s, &f.w, h, &f.info);
    return f;
}

static const struct vb_control NEWTON = {1e-11, 100, 100, true},
                               CAVI = {1e-13, 5000, 5000, false};

/* A rejected Newton step is on record with its lower ELBO; everything else must rise. */
static void check_trace(const struct fit *f)
{
    int q = f->s.lr.q;
    double best = -INFINITY;
    for (int i = 0; i < f->info.iter; i++) {
        const double *row = f->s.trace + i * (q + 3);
        CHECK(isfinite(row[q]) && isfinite(row[q + 1]));
        if ((int) row[q + 2] == VB_STEP_REJECTED) continue;
        CHECK(row[q] >= best - 1e-9 * fabs(best));
        best = fmax(best, row[q]);
    }
    CHECK_NEAR(f->s.elbo, best, 1e-9);
}

static double row_mean(const struct sim *d, const double *theta, int i)
{
    double s = 0;
    for (int j = 0; j < (int) arrow_dim(&d->m.shape); j++)
        s += AT(d->C, i, j, d->n) * theta[j];
    return s;
}

/* P <- tau_e G + T, dense. */
static double *dense_precision(const struct lmm *m, const double *t)
{
    int dim = (int) arrow_dim(&m->shape);
    double *P = dense_of(&m->shape, &m->G), L[VECH_MAX_R * VECH_MAX_R];
    for (int i = 0; i < dim * dim; i++) P[i] *= t[0];
    for (int j = 0; j < m->p; j++)
        for (int i = 0; i < m->p; i++) AT(P, i, j, dim) += AT(m->Tb, i, j, m->p);
    for (int k = 1; k < m->n_prec; k++) {
        int r = m->prec[k].r;
        vech_unpack(r, t + m->prec[k].at, L);
        for (int g = 0; g < m->prec[k].n_levels; g++)
            for (int b = 0; b < r; b++)
                for (int a = 0; a < r; a++)
                    P[lmm_coef(m, k, g) * (size_t) (dim + 1) + (size_t) (a + b * dim)] +=
                        AT(L, a, b, r);
    }
    return P;
}

/* Is t the fixed point of precision k and of its auxiliaries at quadratic form ss (r x r)? */
static void check_factor(const struct lmm *m, const struct fit *f, int k,
                         const double *ss)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double *rate = copy((size_t) (r * r), ss), *inv = copy((size_t) (r * r), ss);
    CHECK(f->s.df[k] == pr->df0 + (k ? pr->n_levels : m->n));
    for (int i = 0; i < r * r; i++) rate[i] += pr->rate0[i];
    for (int i = 0; i < r && pr->aux >= 0; i++)
        AT(rate, i, i, r) += 2 * pr->nu * f->s.t[pr->aux + i];
    naive_inverse(r, rate, inv);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            int at = pr->at + vech_at(r, a, b);
            CHECK_NEAR(f->s.ss[at], AT(ss, a, b, r), 1e-9);
            CHECK_NEAR(f->s.t[at], f->s.df[k] * AT(inv, a, b, r), 1e-8);
            if (a > b || pr->aux < 0) continue;
            double aux_rate = pr->nu * f->s.t[at] + pr->aux_rate[a];
            CHECK_NEAR(f->s.t[pr->aux + a], (pr->nu + r) / 2 / aux_rate, 1e-8);
        }
}

/* q(theta), the quadratic forms and the fixed point, from the rows and a dense inverse. */
static void check_optimum(const struct sim *d, const struct fit *f)
{
    const struct lmm *m = &d->m;
    int dim = (int) arrow_dim(&m->shape), ng = m->shape.n_global, R = m->shape.r;
    size_t n = (size_t) dim;
    double *G = dense_of(&m->shape, &m->G), *P = dense_precision(m, f->s.t);
    double *S = nans(n * n), *mean = zeros(n), ss0 = 0;
    naive_inverse(dim, P, S);
    for (int i = 0; i < dim; i++) {
        for (int j = 0; j < dim; j++) {
            double rhs = f->s.t[0] * m->h[j];
            for (int k = 0; k < m->p && j < m->p; k++)
                rhs += AT(m->Tb, j, k, m->p) * m->mu[k];
            mean[i] += AT(S, i, j, dim) * rhs;
            ss0 += AT(S, i, j, dim) * AT(G, i, j, dim);
        }
        CHECK_NEAR(f->s.m[i], mean[i], 1e-10);
        for (int b = 0; b < R && i >= ng; b++) /* row i of its leaf block */
            CHECK_NEAR(f->s.s_leaf[(i - ng) / R * R * R + (i - ng) % R + b * R],
                       AT(S, i, i - (i - ng) % R + b, dim), 1e-10);
        for (int j = 0; j < ng && i < ng; j++)
            CHECK_NEAR(AT(f->s.S_global, i, j, ng), AT(S, i, j, dim), 1e-10);
    }
    for (int i = 0; i < d->n; i++) ss0 += pow(d->y[i] - row_mean(d, f->s.m, i), 2);
    check_factor(m, f, 0, &ss0);
    for (int k = 1; k < m->n_prec; k++) {
        int r = m->prec[k].r;
        double *ss = zeros((size_t) (r * r));
        for (int g = 0; g < m->prec[k].n_levels; g++)
            for (int b = 0; b < r; b++)
                for (int a = 0; a < r; a++) {
                    size_t i = lmm_coef(m, k, g) + (size_t) a, j = i - (size_t) (a - b);
                    AT(ss, a, b, r) += mean[i] * mean[j] + AT(S, i, j, dim);
                }
        check_factor(m, f, k, ss);
    }
}

/* One number of a prior and the global it multiplies in the log density, -factor x_at per unit. */
struct knob {
    int at;
    double factor;
    struct lmm up, down;
};

static struct knob turn(const struct lmm *m, int k, int a, int b, double eps)
{
    const struct precision *pr = &m->prec[k];
    struct knob out = {pr->at + vech_at(pr->r, a, b), a == b ? 0.5 : 1, *m, *m};
    if (pr->aux >= 0) {
        out.at = pr->aux + a;
        out.factor = 1;
    }
    for (int sign = -1; sign <= 1; sign += 2) {
        struct precision *to = sign > 0 ? &out.up.prec[k] : &out.down.prec[k];
        size_t r = (size_t) pr->r;
        double *x = pr->aux >= 0 ? copy(r, pr->aux_rate) : copy(r * r, pr->rate0);
        if (pr->aux >= 0) {
            x[a] += sign * eps;
            to->aux_rate = x;
            continue;
        }
        AT(x, a, b, r) += sign * eps;
        if (a != b) AT(x, b, a, r) += sign * eps;
        to->rate0 = x;
    }
    return out;
}

/* The linear response is a derivative: raising a rate of a prior, which enters its log density
 * as -factor x, moves E x_j by -factor Sigma_jk and m by -factor J Sigma_.k per unit. */
static void check_response(const struct lmm *m, const struct fit *f)
{
    int q = m->n_par, dim = (int) arrow_dim(&m->shape);
    const double eps = 1e-4;
    for (int k = 0; k < m->n_prec; k++)
        for (int b = 0; b < m->prec[k].r; b++)
            for (int a = b; a < m->prec[k].r; a++) {
                if (m->prec[k].aux >= 0 && a != b) continue;
                struct knob t = turn(m, k, a, b, eps);
                struct fit hi = run(&t.up, 1, NEWTON, NULL),
                           lo = run(&t.down, 1, NEWTON, NULL);
                for (int j = 0; j < q; j++)
                    CHECK_NEAR((hi.s.t[j] - lo.s.t[j]) / (2 * eps),
                               -t.factor * AT(f->s.lr.Sigma, j, t.at, q), 2e-6);
                for (int i = 0; i < dim; i++) {
                    double dm = 0;
                    for (int j = 0; j < m->n_stat; j++)
                        dm -= t.factor * AT(f->s.J, i, j, dim) *
                              AT(f->s.lr.Sigma, j, t.at, q);
                    CHECK_NEAR((hi.s.m[i] - lo.s.m[i]) / (2 * eps), dm, 2e-6);
                }
            }
}

/* The ELBO is stationary at the optimum, and not just anywhere. */
static void check_stationary(const struct lmm *m, const struct fit *f)
{
    for (int k = 0; k < f->s.lr.q; k++)
        for (int away = 0; away < 2; away++) {
            struct fit g = run(m, 1, NEWTON, NULL);
            double e[2], size = on_diagonal(m, k) ? g.s.t[k] : 0.2, t = g.s.t[k];
            if (away) t += 0.5 * size;
            for (int i = 0; i < 2; i++) {
                g.s.t[k] = t + (i ? 1e-4 : -1e-4) * size;
                CHECK(vb_update_theta(m, &g.s, &g.w, &g.info) == CORE_OK);
                e[i] = vb_elbo(m, &g.s, &g.w);
            }
            double slope = (e[1] - e[0]) / 2e-4;
            CHECK(away ? slope < -1e-2 : fabs(slope) < 1e-5);
        }
}

static void check_model(const struct sim *d)
{
    const struct lmm *m = &d->m;
    struct fit newton = run(m, 1, NEWTON, NULL), cavi = run(m, 1, CAVI, NULL);
    struct fit far = run(m, 1e-4, NEWTON, NULL);
    CHECK(newton.status == CORE_OK && newton.s.lr_ok && newton.info.iter <= 15);
    CHECK(cavi.status == CORE_OK && cavi.s.lr_ok && far.status == CORE_OK);
    check_trace(&newton);
    check_trace(&cavi);
    check_trace(&far);
    for (int k = 0; k < newton.s.lr.q; k++) {
        double size = on_diagonal(m, k) ? cavi.s.t[k] : 1;
        CHECK_NEAR((newton.s.t[k] - cavi.s.t[k]) / size, 0, 1e-8);
        CHECK_NEAR((far.s.t[k] - cavi.s.t[k]) / size, 0, 1e-8);
    }
    check_optimum(d, &newton);
    check_optimum(d, &cavi);
    check_response(m, &cavi);
    check_stationary(m, &newton);

    for (int at = 0; at < 3; at++) {
        struct core_hooks h = {stop_at, &at};
        struct fit stopped = run(m, 1, CAVI, &h);
        CHECK(stopped.status == CORE_INTERRUPTED && stopped.info.iter == at);
    }
    struct fit brief = run(m, 1, (struct vb_control){1e-11, 2, 2, true}, NULL);
    CHECK(brief.status == CORE_MAXIT && brief.info.iter == 2 && isfinite(brief.s.elbo));

    struct lmm bad = *m; /* a NaN must not come out as a fit */
    bad.yy = NAN;
    CHECK(run(&bad, 1, NEWTON, NULL).status == CORE_NONFINITE);
    bad = *m;
    double *h = copy(arrow_dim(&m->shape), m->h);
    h[0] = NAN;
    bad.h = h;
    CHECK(run(&bad, 1, NEWTON, NULL).status == CORE_NONFINITE);
    bad = *m;
    bad.G.global = copy(arrow_global_size(&m->shape), m->G.global);
    AT(bad.G.global, 1, 1, m->shape.n_global) = -1e6;
    struct fit not_pd = run(&bad, 1, NEWTON, NULL);
    CHECK(not_pd.status == CORE_NOT_PD_GLOBAL && not_pd.info.block == 1);
}

/* A regression under a flat prior has its log evidence in closed form; the ELBO lies below
 * it by a Kullback-Leibler divergence of order p^2 / (4 n), so every constant is checked. */
static void check_evidence(const struct sim *d)
{
    const struct lmm *m = &d->m;
    struct fit f = run(m, 1, NEWTON, NULL);
    double *G = dense_of(&m->shape, &m->G), *S = nans(4), rss = 0, a = m->prec[0].df0 / 2;
    double b = m->prec[0].rate0[0] / 2, half = 0.5 * (d->n - 2),
           logdet = naive_inverse(2, G, S);
    for (int i = 0; i < d->n; i++) rss += pow(d->y[i] - row_mean(d, f.s.m, i), 2);
    double evidence = -half * log(8 * atan(1)) - 0.5 * logdet + a * log(b) - lgammafn(a) +
                      lgammafn(a + half) - (a + half) * log(b + rss / 2);
    CHECK(f.s.elbo < evidence && f.s.elbo > evidence - 0.05);
}

/* The stubs themselves, and the numbers that follow from a precision's prior. */
static void check_small_parts(void)
{
    CHECK_NEAR(digamma(1), -0.57721566490153286, 1e-14);
    CHECK_NEAR(digamma(20.5) - digamma(19.5), 1 / 19.5, 1e-13);
    CHECK_NEAR(trigamma(1), 1.6449340668482264, 1e-14);
    struct lmm m = sim_intercept(120, 12, 0.7).m;
    double R[4];
    const double ss[4] = {3, 1, 1, 2}, c[2] = {0.5, 2};
    CHECK(lmm_df(&m, 0) == 124 && lmm_df(&m, 1) == 15 && lmm_aux_shape(&m, 1) == 2);
    CHECK(lmm_aux_rate(&m, 1, 0, 2) == 6.25);
    m = sim_general(true).m;
    CHECK(m.n_stat == 9 && m.n_par == 12 && vb_coupling_pairs(&m) == 10);
    CHECK(lmm_df(&m, 1) == 12 && lmm_df(&m, 2) == 9 && lmm_aux_shape(&m, 1) == 2);
    CHECK(lmm_coef(&m, 1, 2) == 20 && lmm_coef(&m, 2, 3) == 11);
    CHECK(lmm_coef(&m, 3, 1) == 19 && lmm_coef(&m, 4, 1) == 7);
    lmm_rate(&m, 1, c, ss, R);
    CHECK(R[0] == 5 && R[1] == 1 && R[2] == 1 && R[3] == 10);
    lmm_rate(&m, 2, c, ss, R);
    CHECK(R[0] == 5 && R[1] == 1.5 && R[2] == 1.5 && R[3] == 3.5);
}

/* Separate blocks: q's covariance is block diagonal with the inverses of the diagonal blocks of
 * the joint precision, the bound is lower than that of joint blocks, both algorithms agree. */
static void check_separate(const struct sim *d)
{
    struct lmm m = d->m;
    struct fit joint = run(&m, 1, NEWTON, NULL);
    m.separate = true;
    struct fit f = run(&m, 1, NEWTON, NULL), cavi = run(&m, 1, CAVI, NULL);
    int dim = (int) arrow_dim(&m.shape), ng = m.shape.n_global, R = m.shape.r;
    double *P = dense_precision(&m, f.s.t);
    CHECK(f.status == CORE_OK && cavi.status == CORE_OK && f.s.lr_ok);
    check_trace(&f);
    check_trace(&cavi);
    for (int k = 0; k < m.n_par; k++) CHECK_NEAR(f.s.t[k] / cavi.s.t[k], 1, 1e-8);
    CHECK(f.s.elbo < joint.s.elbo);
    for (int i = 0; i < m.p; i++) /* P_bb S_bb = I */
        for (int j = 0; j < m.p; j++) {
            double sum = 0;
            for (int k = 0; k < m.p; k++)
                sum += AT(P, i, k, dim) * AT(f.s.Sq_global, k, j, ng);
            CHECK_NEAR(sum, i == j, 1e-10);
        }
    for (int j = m.p; j < ng; j++) CHECK(AT(f.s.Sq_global, 0, j, ng) == 0);
    for (int i = 0; i < R; i++) { /* the first leaf */
        double sum = 0;
        for (int k = 0; k < R; k++)
            sum += AT(P, ng, ng + k, dim) * f.s.sq_leaf[k + i * R];
        CHECK_NEAR(sum, i == 0, 1e-10);
    }
}

void test_vb(void)
{
    struct sim reg = sim_regression(), ri = sim_intercept(120, 12, 0.7);
    struct sim general = sim_general(false), rich = sim_general(true);
    check_small_parts();
    check_model(&reg);
    check_model(&ri);
    check_evidence(&reg);
    check_model(&general);
    check_model(&rich);
    check_separate(&ri);
    check_separate(&general);
    check_separate(&rich);
}
