/* lmm_prior.c: see lmm_prior.h. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "base/la.h"
#include "base/vech.h"
#include "base/wishart.h"
#include "model/lmm_prior.h"

enum { RR = VECH_MAX_R * VECH_MAX_R };
static const double LOG_PI = 1.144729885849400174143427351353;

/* log p(Lambda) at |Lambda| = 1, tr(R_0 Lambda) = 0: all that does not depend on Lambda. */
double lmm_prior_constant(const struct lmm *m, int k)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    if (!(pr->nu > 0)) {
        double L[RR];
        memcpy(L, pr->rate0, sizeof(double) * (size_t) (r * r));
        la_chol(r, L);
        return wishart_expected_log_density(r, pr->df0, la_logdet(r, L), 0, 0);
    }
    /* the auxiliaries integrate out: prod_i int c^((df0 - 1) / 2) exp(-c (nu Lambda_ii + A^-2)) */
    double s = wishart_expected_log_density(r, pr->df0, r * log(2 * pr->nu), 0, 0);
    for (int i = 0; i < r; i++)
        s += 0.5 * (log(pr->aux_rate[i]) - LOG_PI) + lgammafn(0.5 * (pr->nu + r));
    return s;
}

/* log p(Lambda_k), given log |Lambda_k| and Lambda in t. */
double lmm_prior_log_density(const struct lmm *m, int k, double constant, const double *t,
                             double logdet)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    double s = constant + 0.5 * (pr->df0 - r - 1) * logdet;
    if (pr->nu > 0) {
        for (int i = 0; i < r; i++)
            s -= 0.5 * (pr->nu + r) * log(pr->nu * t[vech_at(r, i, i)] + pr->aux_rate[i]);
        return s;
    }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            s -= (a == b ? 0.5 : 1) * AT(pr->rate0, a, b, r) * t[vech_at(r, a, b)];
    return s;
}

void lmm_prior_slope(const struct lmm *m, int k, const double *t, double *g)
{
    const struct precision *pr = &m->prec[k];
    int r = pr->r;
    if (pr->nu > 0) {
        for (int i = 0; i < r; i++) {
            int at = vech_at(r, i, i);
            g[at] -= 0.5 * (pr->nu + r) * pr->nu / (pr->nu * t[at] + pr->aux_rate[i]);
        }
        return;
    }
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            g[vech_at(r, a, b)] -= (a == b ? 0.5 : 1) * AT(pr->rate0, a, b, r);
}
