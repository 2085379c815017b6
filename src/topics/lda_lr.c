/* lda_lr.c: see lda_lr.h. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "base/dirichlet.h"
#include "base/la.h"
#include "topics/lda_lr.h"

struct lda_lr_work lda_lr_work_carve(const struct lda *g, struct arena *a)
{
    struct lda_lr_work w;
    size_t k = (size_t) g->k;
    w.P = arena_doubles(a, k * k);
    w.X = arena_doubles(a, k * k);
    w.phi = arena_doubles(a, k);
    w.log_t = arena_doubles(a, k);
    w.d = arena_doubles(a, k);
    w.mean = arena_doubles(a, k);
    return w;
}

/* V^-1 = diag(d) + c d d', d = 1 / psi'(gamma); returns c = psi'(total) / (1 - psi'(total) sum d). */
static double inverse_covariance(int n, const double *gamma, double total, double *d)
{
    double tau = trigamma(total), sum = 0;
    for (int i = 0; i < n; i++) sum += d[i] = 1 / trigamma(gamma[i]);
    return tau / (1 - tau * sum);
}

/* P <- V^-1 - H, the lower triangle. */
static void curvature(const struct lda *g, int d, const struct lda_topics *t, double c,
                      struct lda_lr_work *w)
{
    int n = g->k;
    for (int b = 0; b < n; b++)
        for (int a = b; a < n; a++)
            AT(w->P, a, b, n) = c * w->d[a] * w->d[b] + (a == b ? w->d[a] : 0);
    for (int i = g->ptr[d]; i < g->ptr[d + 1]; i++) {
        lda_phi(g, g->word[i], t, w->log_t, w->phi);
        for (int b = 0; b < n; b++) {
            double m = g->count[i] * w->phi[b];
            AT(w->P, b, b, n) -= m;
            for (int a = b; a < n; a++) AT(w->P, a, b, n) += m * w->phi[a];
        }
    }
}

/* X <- V^-1 P^-1 V^-1 - V^-1, P by its Cholesky factor. */
static void excess(int n, double c, struct lda_lr_work *w)
{
    const double *d = w->d;
    for (int j = 0; j < n; j++) {
        double *x = w->X + (size_t) n * (size_t) j, sum = 0;
        for (int i = 0; i < n; i++) w->phi[i] = d[j] * (c * d[i] + (i == j));
        memcpy(x, w->phi, sizeof(double) * (size_t) n);
        la_solve_l(n, w->P, x);
        la_solve_lt(n, w->P, x);
        for (int i = 0; i < n; i++) sum += d[i] * x[i];
        for (int i = 0; i < n; i++) x[i] = d[i] * (x[i] + c * sum) - w->phi[i];
    }
}

/* var_i += x'X x, x = row i of Cov_q(theta, log theta) = (e_i - mean_i 1) / total. */
static void add_response(int n, double total, const double *mean, const double *X,
                         double *row, double *var)
{
    double all = 0;
    for (int i = 0; i < n; i++) {
        row[i] = 0;
        for (int j = 0; j < n; j++) row[i] += AT(X, i, j, n);
        all += row[i];
    }
    for (int i = 0; i < n; i++) {
        double more = AT(X, i, i, n) - 2 * mean[i] * row[i] + mean[i] * mean[i] * all;
        if (more > 0) var[i] += more / (total * total);
    }
}

bool lda_lr_document(const struct lda *g, int d, const struct lda_topics *t,
                     const double *gamma, double *var, struct lda_lr_work *w)
{
    int n = g->k;
    double total = 0;
    for (int i = 0; i < n; i++) total += gamma[i];
    double level = dirichlet_digamma(total);
    for (int i = 0; i < n; i++) {
        w->log_t[i] = dirichlet_digamma(gamma[i]) - level;
        w->mean[i] = gamma[i] / total;
        var[i] = w->mean[i] * (1 - w->mean[i]) / (total + 1);
    }
    if (n == 1) return true;
    double c = inverse_covariance(n, gamma, total, w->d);
    curvature(g, d, t, c, w);
    if (la_chol(n, w->P)) return false;
    excess(n, c, w);
    add_response(n, total, w->mean, w->X, w->log_t, var);
    return true;
}
