/* lmm.h: the Gaussian (mixed) model in working coordinates, shared by every engine.
 *
 *     y | theta, tau_e ~ N(C theta, (tau_e W)^-1),    theta = (beta, u),  C = [X Z]
 *     beta ~ N(mu, T_b^-1) or flat,   u_k ~ N(0, 1 / tau_u)
 *     tau ~ Gamma(shape, rate)   or   1 / sqrt(tau) ~ half-t(df, scale), written as
 *     tau | c ~ Gamma(df / 2, df c),  c ~ Gamma(1/2, 1 / scale^2)      [Huang & Wand 2013]
 *
 * The data enter through the arrow Gram G = C'WC, h = C'Wy, yy = y'Wy only.
 *
 * The globals t = (tau_e, tau_1, ..., tau_K, auxiliaries) number n_global_par. */
#ifndef MEANFIELD_LMM_H
#define MEANFIELD_LMM_H

#include "arrow.h"
#include "expfam.h"

struct precision_prior {
    double shape, rate; /* of the precision; half-t: df / 2 and 0, the rate is df * c */
    double df;          /* 0: plain gamma; > 0: half-t, an auxiliary exists          */
    double aux_rate;    /* 1 / scale^2 of the auxiliary c ~ Gamma(1/2, aux_rate)     */
};

enum { LMM_MAX_TERMS = 1 };                 /* scalar group terms                     */
enum { LMM_MAX_PREC = LMM_MAX_TERMS + 1 };  /* tau_e first                            */
enum { LMM_MAX_PAR = 2 * LMM_MAX_PREC };    /* precisions, then their auxiliaries     */

struct lmm {
    struct arrow_shape shape;
    struct arrow G;       /* C'WC (views)                                           */
    const double *h;      /* C'Wy, arrow_dim()                                      */
    double yy, n, sum_log_w;
    int p;                /* fixed effects: the first p global columns              */
    bool flat;            /* flat prior on beta: Tb is zero                         */
    const double *Tb;     /* p x p prior precision, full                            */
    const double *mu;     /* p prior means                                          */
    double logdet_Tb;     /* 0 when flat                                            */
    int n_prec;           /* 1 + number of group terms                              */
    struct precision_prior prior[LMM_MAX_PREC];
};

/* Globals: precision k has index k, its auxiliary lmm_aux(k) or -1; total lmm_n_par(). */
int lmm_aux(const struct lmm *m, int k);
int lmm_n_par(const struct lmm *m);

/* Shape of the full conditional (and of the variational factor) of global k; it never
 * changes: a + n/2, a + G/2, or (df + 1)/2 for an auxiliary. */
double lmm_shape(const struct lmm *m, int k);

/* Rate of precision k when its auxiliary (if any) has value or mean c and its quadratic form
 * (weighted residual or random-effect sum of squares) has value or mean ss. */
double lmm_rate(const struct lmm *m, int k, double c, double ss);

/* Rate of the auxiliary of precision k at value or mean tau: df tau + 1 / scale^2. */
double lmm_aux_rate(const struct lmm *m, int k, double tau);

/* P <- tau[0] G + T(tau), T = blockdiag(T_b, tau_u I). O(size of the arrow). */
void lmm_precision(const struct lmm *m, const double *tau, struct arrow *P);

/* x <- tau_e h + T mu. */
void lmm_rhs(const struct lmm *m, double tau_e, double *x);

/* x <- T(tau) (theta - mu), the gradient of the prior's quadratic form. */
void lmm_prior_gradient(const struct lmm *m, const double *tau, const double *theta,
                        double *x);

#endif
