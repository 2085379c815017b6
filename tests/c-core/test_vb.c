/* test_vb.c: the variational engine on a regression and on a random-intercept model. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "check.h"
#include "lmm_vb.h"
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
    size_t q = (size_t) lmm_n_par(m), dim = arrow_dim(sh), ng = (size_t) sh->n_global;
    struct arena count = {NULL, 0};
    vb_work_carve(m, &count);
    lr_carve((int) q, &count);
    struct arena a = arena_of(count.used);
    struct fit f = {.w = vb_work_carve(m, &a), .info = {0, -1}};
    f.s = (struct vb_state){.t = nans(q), .shape = nans(q), .m = nans(dim),
                            .S_global = nans(ng * ng), .d_inv = nans(arrow_leaf_size(sh)),
                            .q = nans(arrow_cross_size(sh)),
                            .s_leaf = nans(arrow_leaf_size(sh)),
                            .J = nans(dim * (size_t) m->n_prec), .ss = nans((size_t) m->n_prec),
                            .trace = nans((q + 3) * (size_t) ctl.max_iter)};
    f.s.lr = lr_carve((int) q, &a);
    CHECK(a.used == count.used);
    for (size_t k = 0; k < q; k++) f.s.t[k] = start;
    f.status = vb_run(m, &ctl, &f.s, &f.w, h, &f.info);
    return f;
}

static const struct vb_control NEWTON = {1e-11, 100, true}, CAVI = {1e-13, 5000, false};

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
    double s = theta[0] * d->X[i] + theta[1] * d->X[i + d->n];
    return d->m.n_prec > 1 ? s + theta[2 + d->group[i]] : s;
}

/* q(theta), the quadratic forms and the fixed point, from the rows and a dense inverse. */
static void check_optimum(const struct sim *d, const struct fit *f)
{
    const struct lmm *m = &d->m;
    int dim = (int) arrow_dim(&m->shape), ng = m->shape.n_global;
    size_t n = (size_t) dim;
    double *G = dense_of(&m->shape, &m->G), *P = copy(n * n, G), *S = nans(n * n);
    double ss[2] = {0, 0};
    for (int j = 0; j < dim; j++)
        for (int i = 0; i < dim; i++) {
            bool fixed = i < ng && j < ng;
            AT(P, i, j, dim) *= f->s.t[0];
            AT(P, i, j, dim) += fixed ? AT(m->Tb, i, j, ng) : i == j ? f->s.t[1] : 0;
        }
    naive_inverse(dim, P, S);
    for (int i = 0; i < dim; i++) {
        double mean = 0;
        for (int j = 0; j < dim; j++) {
            double rhs = f->s.t[0] * m->h[j];
            for (int k = 0; k < ng && j < ng; k++) rhs += AT(m->Tb, j, k, ng) * m->mu[k];
            mean += AT(S, i, j, dim) * rhs;
            ss[0] += AT(S, i, j, dim) * AT(G, i, j, dim);
        }
        CHECK_NEAR(f->s.m[i], mean, 1e-10);
        if (i >= ng) CHECK_NEAR(f->s.s_leaf[i - ng], AT(S, i, i, dim), 1e-10);
        if (i >= ng) ss[1] += mean * mean + AT(S, i, i, dim);
        for (int j = 0; j < ng && i < ng; j++)
            CHECK_NEAR(AT(f->s.S_global, i, j, ng), AT(S, i, j, dim), 1e-10);
    }
    for (int i = 0; i < d->n; i++) ss[0] += pow(d->y[i] - row_mean(d, f->s.m, i), 2);
    for (int k = 0; k < m->n_prec; k++) {
        const struct precision_prior *pr = &m->prior[k];
        int aux = lmm_aux(m, k);
        double units = k ? dim - ng : d->n, c = aux < 0 ? 0 : f->s.t[aux];
        CHECK_NEAR(f->s.ss[k], ss[k], 1e-10);
        double rate = pr->rate + pr->df * c + ss[k] / 2;
        CHECK_NEAR(f->s.t[k], (pr->shape + units / 2) / rate, 1e-8);
        if (aux < 0) continue;
        rate = pr->df * f->s.t[k] + pr->aux_rate;
        CHECK_NEAR(c, (pr->df + 1) / 2 / rate, 1e-8);
    }
}

/* The linear response is a derivative: raising the rate b of a prior, which enters its log
 * density as -b x, moves E x_j by -Sigma_jk and m by -J Sigma_.k per unit. */
static void check_response(const struct lmm *m, const struct fit *f)
{
    int q = lmm_n_par(m), dim = (int) arrow_dim(&m->shape);
    const double eps = 1e-4;
    for (int k = 0; k < m->n_prec; k++) {
        int at = lmm_aux(m, k) < 0 ? k : lmm_aux(m, k);
        struct lmm up = *m, down = *m;
        *(at == k ? &up.prior[k].rate : &up.prior[k].aux_rate) += eps;
        *(at == k ? &down.prior[k].rate : &down.prior[k].aux_rate) -= eps;
        struct fit hi = run(&up, 1, NEWTON, NULL), lo = run(&down, 1, NEWTON, NULL);
        for (int j = 0; j < q; j++)
            CHECK_NEAR((hi.s.t[j] - lo.s.t[j]) / (2 * eps), -AT(f->s.lr.Sigma, j, at, q), 1e-6);
        for (int i = 0; i < dim; i++) {
            double dm = 0;
            for (int j = 0; j < m->n_prec; j++)
                dm -= AT(f->s.J, i, j, dim) * AT(f->s.lr.Sigma, j, at, q);
            CHECK_NEAR((hi.s.m[i] - lo.s.m[i]) / (2 * eps), dm, 1e-6);
        }
    }
}

/* The ELBO is stationary at the optimum, and not just anywhere. */
static void check_stationary(const struct lmm *m, const struct fit *f)
{
    for (int k = 0; k < f->s.lr.q; k++)
        for (int away = 0; away < 2; away++) {
            struct fit g = run(m, 1, NEWTON, NULL);
            double e[2], t = g.s.t[k] * (away ? 1.5 : 1);
            for (int i = 0; i < 2; i++) {
                g.s.t[k] = t * (i ? 1 + 1e-4 : 1 - 1e-4);
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
    CHECK(newton.status == CORE_OK && newton.s.lr_ok && newton.info.iter <= 10);
    CHECK(cavi.status == CORE_OK && cavi.s.lr_ok && far.status == CORE_OK);
    check_trace(&newton);
    check_trace(&cavi);
    check_trace(&far);
    for (int k = 0; k < newton.s.lr.q; k++) {
        CHECK_NEAR(newton.s.t[k] / cavi.s.t[k], 1, 1e-8);
        CHECK_NEAR(far.s.t[k] / cavi.s.t[k], 1, 1e-8);
        CHECK(newton.s.shape[k] == lmm_shape(m, k));
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
    struct fit brief = run(m, 1, (struct vb_control){1e-11, 2, true}, NULL);
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
    bad.G.global = copy(4, m->G.global);
    bad.G.global[3] = -1e6;
    struct fit not_pd = run(&bad, 1, NEWTON, NULL);
    CHECK(not_pd.status == CORE_NOT_PD_GLOBAL && not_pd.info.block == 1);
}

/* A regression under a flat prior has its log evidence in closed form; the ELBO lies below
 * it by a Kullback-Leibler divergence of order p^2 / (4 n), so every constant is checked. */
static void check_evidence(const struct sim *d)
{
    const struct lmm *m = &d->m;
    struct fit f = run(m, 1, NEWTON, NULL);
    double *G = dense_of(&m->shape, &m->G), *S = nans(4), rss = 0, a = m->prior[0].shape;
    double b = m->prior[0].rate, half = 0.5 * (d->n - 2), logdet = naive_inverse(2, G, S);
    for (int i = 0; i < d->n; i++) rss += pow(d->y[i] - row_mean(d, f.s.m, i), 2);
    double evidence = -half * log(8 * atan(1)) - 0.5 * logdet + a * log(b) - lgammafn(a) +
                      lgammafn(a + half) - (a + half) * log(b + rss / 2);
    CHECK(f.s.elbo < evidence && f.s.elbo > evidence - 0.05);
}

/* The stubs themselves, the gamma factor, and the numbering of the auxiliaries. */
static void check_small_parts(void)
{
    CHECK_NEAR(digamma(1), -0.57721566490153286, 1e-14);
    CHECK_NEAR(digamma(20.5) - digamma(19.5), 1 / 19.5, 1e-13);
    CHECK_NEAR(trigamma(1), 1.6449340668482264, 1e-14);
    struct gamma_dist q = {1, 2}; /* exponential: entropy 1 - log 2 */
    CHECK_NEAR(gamma_entropy(q), 1 - log(2), 1e-14);
    CHECK_NEAR(gamma_mean_log(q), digamma(1) - log(2), 1e-14);
    CHECK_NEAR(gamma_var_log(q), trigamma(1), 1e-14);
    /* E_q log q = -entropy */
    q = (struct gamma_dist){2.5, 3};
    CHECK_NEAR(gamma_expected_log_density(q, 2.5, log(3), 3), -gamma_entropy(q), 1e-13);
    struct lmm m = sim_intercept(120, 12, 0.7).m;
    CHECK(lmm_aux(&m, 0) == 2 && lmm_aux(&m, 1) == 3 && lmm_n_par(&m) == 4);
    CHECK(lmm_shape(&m, 0) == 62 && lmm_shape(&m, 1) == 7.5 && lmm_shape(&m, 3) == 2);
    m.prior[0].df = 0;
    CHECK(lmm_aux(&m, 0) == -1 && lmm_aux(&m, 1) == 2 && lmm_n_par(&m) == 3);
}

void test_vb(void)
{
    struct sim reg = sim_regression(), ri = sim_intercept(120, 12, 0.7);
    check_small_parts();
    check_model(&reg);
    check_model(&ri);
    check_evidence(&reg);
}
