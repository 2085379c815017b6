/* gmm.c: E and M step of the Gaussian mixture and its bound (see gmm.h).
 *
 * With c_k = k0 + N_k and A_k = rate0 + ss_k + k0 N_k / c_k (xbar_k - m0)(xbar_k - m0)',
 * the pair q(mu_k), q(Lambda_k) has the closed form
 *     L_k^-1 = A_k / (df - 1),  S_k = (c_k L_k)^-1,      df = df0 + N_k + 1 (coupled)
 * [the recursion rate_k = A_k + c_k S_k, S_k = (c_k df rate_k^-1)^-1 solved]. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "base/blas.h"
#include "base/la.h"
#include "base/wishart.h"
#include "mixture/gmm.h"

static const double LOG_2PI = 1.837877066409345483560659472811;

/* A variance below this is rounding noise: the data have variance one, and errors of 1e-16. */
static const double MIN_VARIANCE = 1e-24;

/* Below this size a plain loop beats the call to BLAS. */
enum { GRAM_BLAS_FROM = 48 };

struct gmm_stats gmm_stats_carve(const struct gmm *g, struct arena *a)
{
    struct gmm_stats s; /* one block: SQUAREM moves through all of it */
    size_t k = (size_t) g->k, p = (size_t) g->p;
    double *at = arena_doubles(a, gmm_stats_size(g));
    s.N = at;
    s.mean = at ? at + k : NULL;
    s.ss = at ? at + k + p * k : NULL;
    return s;
}

size_t gmm_stats_size(const struct gmm *g)
{
    size_t k = (size_t) g->k, p = (size_t) g->p;
    return k * (1 + p + p * p);
}

struct gmm_factors gmm_factors_carve(const struct gmm *g, struct arena *a)
{
    struct gmm_factors f;
    size_t k = (size_t) g->k, p = (size_t) g->p;
    f.m = arena_doubles(a, p * k);
    f.df = arena_doubles(a, k);
    f.L = arena_doubles(a, p * p * k);
    f.Linv = arena_doubles(a, p * p * k);
    f.R = arena_doubles(a, p * p * k);
    f.S = arena_doubles(a, p * p * k);
    f.c = arena_doubles(a, k);
    f.mean_logdet = arena_doubles(a, k);
    f.logdet_mean = arena_doubles(a, k);
    f.logdet_S = arena_doubles(a, k);
    f.trace_LS = arena_doubles(a, k);
    f.alpha = arena_doubles(a, k);
    f.mean_log_pi = arena_doubles(a, k);
    f.offset = arena_doubles(a, k);
    return f;
}

struct gmm_work gmm_work_carve(const struct gmm *g, struct arena *a)
{
    struct gmm_work w;
    size_t k = (size_t) g->k, p = (size_t) g->p;
    size_t panel = GMM_ROWS * (p + 1), squares = 2 * p * p;
    w.panel = arena_doubles(a, panel > squares ? panel : squares);
    w.cols = arena_doubles(a, GMM_ROWS * p);
    w.logit = arena_doubles(a, GMM_ROWS * k);
    w.gram = arena_doubles(a, (p + 1) * (p + 1) * k);
    return w;
}

/* Eight rank-one updates at a time: the inner loop is vector code under plain -O2. */
static void gram_loop(int T, int rows, const double *restrict a, double *restrict G)
{
    for (int l = 0; l < rows; l += 8, a += (size_t) 8 * (size_t) T) {
        const double *a1 = a + T, *a2 = a1 + T, *a3 = a2 + T, *a4 = a3 + T, *a5 = a4 + T,
                     *a6 = a5 + T, *a7 = a6 + T;
        for (int j = 0; j < T; j++) {
            double *restrict col = G + (size_t) j * (size_t) T;
            for (int i = j; i < T; i++)
                col[i] +=
                    ((a[j] * a[i] + a1[j] * a1[i]) + (a2[j] * a2[i] + a3[j] * a3[i])) +
                    ((a4[j] * a4[i] + a5[j] * a5[i]) + (a6[j] * a6[i] + a7[j] * a7[i]));
        }
    }
}

void gmm_gram_add(int T, int rows, const double *panel, double *G)
{
    double one = 1;
    if (T < GRAM_BLAS_FROM)
        gram_loop(T, rows, panel, G);
    else
        F77_CALL(dsyrk)("L", "N", &T, &rows, &one, panel, &T, &one, G, &T FCONE FCONE);
}

/* Squared lengths of the rows of (x - m) R, R lower triangular. */
static void quadratic_forms(const struct gmm *g, int first, int rows, const double *m,
                            const double *R, double *restrict cols, double *restrict out)
{
    int p = g->p;
    double y[GMM_ROWS];
    for (int j = 0; j < p; j++) {
        double *restrict c = cols + (size_t) j * GMM_ROWS;
        const double *x = &AT(g->X, first, j, g->n);
        for (int i = 0; i < rows; i++) c[i] = x[i] - m[j];
        for (int i = rows; i < GMM_ROWS; i++) c[i] = 0;
    }
    memset(out, 0, sizeof(double) * GMM_ROWS);
    if (p >= GRAM_BLAS_FROM / 3) {
        int n = GMM_ROWS;
        double one = 1;
        F77_CALL(dtrmm)
        ("R", "L", "N", "N", &n, &p, &one, R, &p, cols, &n FCONE FCONE FCONE FCONE);
        for (int j = 0; j < p; j++)
            for (int i = 0; i < GMM_ROWS; i++)
                out[i] += cols[(size_t) j * GMM_ROWS + (size_t) i] *
                          cols[(size_t) j * GMM_ROWS + (size_t) i];
        return;
    }
    for (int j = 0; j < p; j++) {
        memset(y, 0, sizeof y);
        for (int l = j; l < p; l++) {
            const double *restrict c = cols + (size_t) l * GMM_ROWS;
            double a = AT(R, l, j, p);
            for (int i = 0; i < GMM_ROWS; i++) y[i] += a * c[i];
        }
        for (int i = 0; i < GMM_ROWS; i++) out[i] += y[i] * y[i];
    }
}

void gmm_logits(const struct gmm *g, int first, int rows, const double *m,
                const double *R, const double *offset, struct gmm_work *w)
{
    size_t p = (size_t) g->p;
    for (int k = 0; k < g->k; k++) {
        double *out = w->logit + (size_t) k * GMM_ROWS;
        quadratic_forms(g, first, rows, m + (size_t) k * p, R + (size_t) k * p * p,
                        w->cols, out);
        for (int i = 0; i < GMM_ROWS; i++) out[i] = offset[k] - 0.5 * out[i];
    }
}

/* logit of the first `rows` rows -> responsibilities in place; returns sum of log sums. */
static double normalise(const struct gmm *g, int rows, double *logit)
{
    double total = 0, product = 1; /* one log for 32 rows: each sum is in [1, k] */
    for (int i = 0; i < rows; i++) {
        double top = logit[i], sum = 0;
        for (int k = 1; k < g->k; k++)
            if (logit[(size_t) k * GMM_ROWS + (size_t) i] > top)
                top = logit[(size_t) k * GMM_ROWS + (size_t) i];
        for (int k = 0; k < g->k; k++) {
            double *l = &logit[(size_t) k * GMM_ROWS + (size_t) i];
            *l = *l == top ? 1 : exp(*l - top);
            sum += *l;
        }
        double inv = 1 / sum;
        for (int k = 0; k < g->k; k++) logit[(size_t) k * GMM_ROWS + (size_t) i] *= inv;
        total += top;
        product *= sum;
        if (i % 32 == 31) {
            total += log(product);
            product = 1;
        }
    }
    return total + log(product);
}

/* Gram of sqrt(r_i) (1, x_i - about) over the chunk, added to gram. */
static void weighted_gram(const struct gmm *g, int first, int rows, const double *r,
                          const double *about, double *panel, double *gram)
{
    int T = g->p + 1, padded = (rows + 7) / 8 * 8;
    double root[GMM_ROWS];
    for (int i = 0; i < rows; i++) panel[(size_t) i * (size_t) T] = root[i] = sqrt(r[i]);
    for (int j = 0; j < g->p; j++) {
        const double *x = &AT(g->X, first, j, g->n);
        for (int i = 0; i < rows; i++)
            panel[(size_t) i * (size_t) T + (size_t) j + 1] = root[i] * (x[i] - about[j]);
    }
    memset(panel + (size_t) rows * (size_t) T, 0,
           sizeof(double) * (size_t) (padded - rows) * (size_t) T);
    gmm_gram_add(T, padded, panel, gram);
}

void gmm_stats_from_gram(const struct gmm *g, int k, const double *about,
                         const double *gram, struct gmm_stats *s)
{
    int p = g->p, T = p + 1;
    double N = gram[0], inv = N > 0 ? 1 / N : 0;
    double *mean = s->mean + (size_t) k * (size_t) p;
    double *ss = s->ss + (size_t) k * (size_t) p * (size_t) p;
    s->N[k] = N;
    for (int j = 0; j < p; j++) mean[j] = about[j] + gram[j + 1] * inv;
    for (int j = 0; j < p; j++)
        for (int i = j; i < p; i++)
            AT(ss, i, j, p) = AT(gram, i + 1, j + 1, T) - gram[i + 1] * gram[j + 1] * inv;
    la_fill_upper(p, ss);
}

double gmm_pass(const struct gmm *g, const double *m, const double *R,
                const double *offset, double *r, struct gmm_stats *s, struct gmm_work *w,
                double *change)
{
    size_t p = (size_t) g->p, gram = (p + 1) * (p + 1);
    double total = 0, largest = 0;
    memset(w->gram, 0, sizeof(double) * gram * (size_t) g->k);
    for (int first = 0; first < g->n; first += GMM_ROWS) {
        int rows = g->n - first < GMM_ROWS ? g->n - first : GMM_ROWS;
        gmm_logits(g, first, rows, m, R, offset, w);
        total += normalise(g, rows, w->logit);
        for (int k = 0; k < g->k; k++) {
            const double *now = w->logit + (size_t) k * GMM_ROWS;
            double *old = &AT(r, first, k, g->n);
            for (int i = 0; i < rows; i++) {
                double d = fabs(now[i] - old[i]);
                if (d > largest) largest = d;
                old[i] = now[i];
            }
            weighted_gram(g, first, rows, now, m + (size_t) k * p, w->panel,
                          w->gram + (size_t) k * gram);
        }
    }
    for (int k = 0; k < g->k; k++)
        gmm_stats_from_gram(g, k, m + (size_t) k * p, w->gram + (size_t) k * gram, s);
    *change = largest;
    return total;
}

/* X <- A^-1 (p x p, full), *logdet = log |A|; A is overwritten by its factor. */
static bool invert(int p, double *A, double *X, double *logdet)
{
    if (la_chol(p, A)) return false;
    *logdet = la_logdet(p, A);
    la_inverse(p, A, X);
    return true;
}

static void add_outer(int p, double a, const double *d, double *A)
{
    for (int j = 0; j < p; j++)
        for (int i = 0; i < p; i++) AT(A, i, j, p) += a * d[i] * d[j];
}

/* q(mu_k), q(Lambda_k) under a prior where mu_k is flat or scaled by Lambda_k. */
static bool update_coupled(const struct gmm *g, const struct gmm_stats *s, int k,
                           struct gmm_factors *f, double *A)
{
    size_t p = (size_t) g->p, pp = p * p;
    const double *xbar = s->mean + (size_t) k * p;
    double *m = f->m + (size_t) k * p, *L = f->L + (size_t) k * pp, c = f->c[k];
    double *Linv = f->Linv + (size_t) k * pp, *S = f->S + (size_t) k * pp, *d = A + pp;
    double log_det = 0;
    if (!(f->df[k] > g->p) || !(c > 0)) return false;
    for (size_t i = 0; i < p; i++) {
        m[i] = (g->k0 * g->m0[i] + s->N[k] * xbar[i]) / c;
        d[i] = xbar[i] - g->m0[i];
    }
    for (size_t i = 0; i < pp; i++) A[i] = g->rate0[i] + s->ss[(size_t) k * pp + i];
    add_outer(g->p, g->k0 * s->N[k] / c, d, A);
    for (size_t i = 0; i < pp; i++) Linv[i] = A[i] / (f->df[k] - 1);
    memcpy(A, Linv, sizeof(double) * pp);
    if (!invert(g->p, A, L, &log_det)) return false;
    for (size_t i = 0; i < pp; i++) S[i] = Linv[i] / c;
    f->logdet_mean[k] = -log_det;
    f->logdet_S[k] = log_det - g->p * log(c);
    return true;
}

/* q(mu_k) given L_k: S = (c L + P0)^-1, m = S (c L xbar + P0 m0). */
static bool update_mean(const struct gmm *g, const struct gmm_stats *s, int k,
                        struct gmm_factors *f, double *A)
{
    size_t p = (size_t) g->p, pp = p * p;
    const double *xbar = s->mean + (size_t) k * p, *L = f->L + (size_t) k * pp;
    double *b = A + pp, log_det = 0, c = f->c[k];
    for (size_t i = 0; i < pp; i++) A[i] = c * L[i] + g->P0[i];
    for (size_t i = 0; i < p; i++) {
        b[i] = 0;
        for (size_t j = 0; j < p; j++)
            b[i] += c * L[i + j * p] * xbar[j] + g->P0[i + j * p] * g->m0[j];
    }
    if (!invert(g->p, A, f->S + (size_t) k * pp, &log_det)) return false;
    la_matvec(g->p, f->S + (size_t) k * pp, b, f->m + (size_t) k * p);
    f->logdet_S[k] = -log_det;
    return true;
}

/* L_k^-1 = (rate0 + ss + N (xbar - m)(xbar - m)' + N S) / df; returns the largest relative
 * change of a diagonal element, or a negative number when it is not positive definite. */
static double update_precision(const struct gmm *g, const struct gmm_stats *s, int k,
                               struct gmm_factors *f, double *A)
{
    size_t p = (size_t) g->p, pp = p * p;
    double *Linv = f->Linv + (size_t) k * pp, *d = A + pp, log_det = 0, change = 0;
    for (size_t i = 0; i < p; i++)
        d[i] = s->mean[(size_t) k * p + i] - f->m[(size_t) k * p + i];
    for (size_t i = 0; i < pp; i++)
        A[i] = g->rate0[i] + s->ss[(size_t) k * pp + i] +
               s->N[k] * f->S[(size_t) k * pp + i];
    add_outer(g->p, s->N[k], d, A);
    for (size_t i = 0; i < pp; i++) A[i] /= f->df[k];
    for (size_t i = 0; i < p; i++)
        change = fmax(change, fabs(A[i * (p + 1)] - Linv[i * (p + 1)]) / A[i * (p + 1)]);
    memcpy(Linv, A, sizeof(double) * pp);
    if (!invert(g->p, A, f->L + (size_t) k * pp, &log_det)) return -1;
    f->logdet_mean[k] = -log_det;
    return change;
}

static bool update_uncoupled(const struct gmm *g, const struct gmm_stats *s, int k,
                             struct gmm_factors *f, double *A)
{
    size_t p = (size_t) g->p, pp = p * p;
    double *m = f->m + (size_t) k * p, *S = f->S + (size_t) k * pp;
    if (!(f->df[k] > g->p)) return false;
    memcpy(m, s->mean + (size_t) k * p, sizeof(double) * p);
    memset(S, 0, sizeof(double) * pp);
    memset(f->Linv + (size_t) k * pp, 0, sizeof(double) * pp); /* no earlier iterate */
    /* the rate of convergence is about prior precision / posterior's */
    for (int it = 0; it < 200; it++) {
        double change = update_precision(g, s, k, f, A);
        if (change < 0 || !update_mean(g, s, k, f, A)) return false;
        if (change < 1e-15) break;
    }
    return true;
}

static bool update_component(const struct gmm *g, const struct gmm_stats *s, int k,
                             struct gmm_factors *f, struct gmm_work *w)
{
    size_t pp = (size_t) g->p * (size_t) g->p;
    double *R = f->R + (size_t) k * pp, *L = f->L + (size_t) k * pp;
    if (!(s->N[k] >= 0)) return false;
    f->c[k] = g->k0 + s->N[k];
    f->df[k] = g->df0 + s->N[k] + (g->coupled ? 1 : 0);
    bool ok = g->coupled || g->flat_mean ? update_coupled(g, s, k, f, w->panel)
                                         : update_uncoupled(g, s, k, f, w->panel);
    if (!ok) return false;
    for (size_t i = 0; i < (size_t) g->p; i++)
        if (!(f->Linv[(size_t) k * pp + i * ((size_t) g->p + 1)] > MIN_VARIANCE))
            return false;
    memcpy(R, L, sizeof(double) * pp);
    if (la_chol(g->p, R)) return false;
    f->mean_logdet[k] = wishart_mean_logdet(g->p, f->df[k], f->logdet_mean[k]);
    f->trace_LS[k] = la_trace_product(g->p, L, f->S + (size_t) k * pp);
    f->alpha[k] = g->alpha0[k] + s->N[k];
    return true;
}

bool gmm_update(const struct gmm *g, const struct gmm_stats *s, struct gmm_factors *f,
                struct gmm_work *w, struct core_info *info)
{
    double total = 0;
    for (int k = 0; k < g->k; k++) {
        if (!update_component(g, s, k, f, w)) {
            info->block = k;
            return false;
        }
        total += f->alpha[k];
    }
    for (int k = 0; k < g->k; k++) {
        f->mean_log_pi[k] = g->k > 1 ? digamma(f->alpha[k]) - digamma(total) : 0;
        f->offset[k] = f->mean_log_pi[k] + 0.5 * (f->mean_logdet[k] - f->trace_LS[k]);
    }
    return true;
}

/* (m - m0)' A (m - m0). */
static double distance_to_prior(const struct gmm *g, const double *m, const double *A)
{
    double s = 0;
    for (int j = 0; j < g->p; j++)
        for (int i = 0; i < g->p; i++)
            s += AT(A, i, j, g->p) * (m[i] - g->m0[i]) * (m[j] - g->m0[j]);
    return s;
}

/* E log p(mu_k | Lambda_k) + entropy of q(mu_k). */
static double elbo_mean(const struct gmm *g, const struct gmm_factors *f, int k)
{
    size_t p = (size_t) g->p, pp = p * p;
    const double *m = f->m + (size_t) k * p, *L = f->L + (size_t) k * pp;
    double entropy = 0.5 * (f->logdet_S[k] + g->p * (1 + LOG_2PI));
    if (g->coupled)
        return entropy + 0.5 * (f->mean_logdet[k] + g->p * (log(g->k0) - LOG_2PI) -
                                g->k0 * (distance_to_prior(g, m, L) + f->trace_LS[k]));
    if (g->flat_mean) return entropy;
    return entropy +
           0.5 * (g->logdet_P0 - g->p * LOG_2PI - distance_to_prior(g, m, g->P0) -
                  la_trace_product(g->p, g->P0, f->S + (size_t) k * pp));
}

/* E log p(Lambda_k) + entropy of q(Lambda_k). */
static double elbo_precision(const struct gmm *g, const struct gmm_factors *f, int k)
{
    size_t pp = (size_t) g->p * (size_t) g->p;
    double entropy = wishart_entropy(g->p, f->df[k], f->logdet_mean[k]);
    if (g->flat_precision) return entropy + 0.5 * (g->df0 - g->p - 1) * f->mean_logdet[k];
    double trace = la_trace_product(g->p, g->rate0, f->L + (size_t) k * pp);
    return entropy + wishart_expected_log_density(g->p, g->df0, g->logdet_rate0, trace,
                                                  f->mean_logdet[k]);
}

/* E log p(pi) + entropy of q(pi); the terms in E log pi of q(z) are in the log sum. */
static double elbo_weights(const struct gmm *g, const struct gmm_factors *f)
{
    double prior = 0, post = 0, out = 0;
    if (g->k == 1) return 0;
    for (int k = 0; k < g->k; k++) {
        prior += g->alpha0[k];
        post += f->alpha[k];
        out += lgammafn(f->alpha[k]) - lgammafn(g->alpha0[k]) +
               (g->alpha0[k] - f->alpha[k]) * f->mean_log_pi[k];
    }
    return out + lgammafn(prior) - lgammafn(post);
}

double gmm_elbo(const struct gmm *g, const struct gmm_factors *f, double log_sum)
{
    double out = log_sum - 0.5 * g->p * LOG_2PI * (double) g->n + elbo_weights(g, f);
    for (int k = 0; k < g->k; k++) out += elbo_mean(g, f, k) + elbo_precision(g, f, k);
    return out;
}

void gmm_label_stats(const struct gmm *g, const int *label, struct gmm_stats *s,
                     struct gmm_work *w)
{
    int p = g->p, T = p + 1;
    double *t = w->panel;
    double *zero = w->cols;
    memset(zero, 0, sizeof(double) * (size_t) p);
    memset(w->gram, 0, sizeof(double) * (size_t) (T * T) * (size_t) g->k);
    for (int n = 0; n < g->n; n++) {
        double *G = w->gram + (size_t) label[n] * (size_t) (T * T);
        t[0] = 1;
        for (int i = 0; i < p; i++) t[i + 1] = AT(g->X, n, i, g->n);
        for (int j = 0; j < T; j++)
            for (int i = j; i < T; i++) AT(G, i, j, T) += t[i] * t[j];
    }
    for (int k = 0; k < g->k; k++)
        gmm_stats_from_gram(g, k, zero, w->gram + (size_t) k * (size_t) (T * T), s);
}
