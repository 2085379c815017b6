/* lmm.h: the Gaussian mixed model in working coordinates, shared by every engine.
 *
 *     y | theta, tau_e ~ N(C theta, (tau_e W)^-1),    theta = (beta, u),  C = [X Z]
 *     beta ~ N(mu, T_b^-1) or flat
 *     u of term j, level k ~ N(0, Lambda_j^-1)  (r_j coefficients)
 *     every precision, tau_e and Lambda_j alike:
 *         Lambda ~ Wishart(df, R^-1)                  r = 1: Gamma(df / 2, R / 2)
 *         or half-t(nu, A_k) on each SD [Huang & Wand 2013]:
 *         Lambda | c ~ Wishart(nu + r - 1, (2 nu diag(c))^-1),  c_k ~ Gamma(1/2, 1 / A_k^2)
 *
 * The data enter through the arrow Gram G = C'WC, h = C'Wy, yy = y'Wy only. The leaf factor
 * of the arrow holds one or several terms; every other factor lives in the global block.
 *
 * Globals t: E of vech(precision k) for k = 0 (tau_e), 1, ..., then of the auxiliaries c.
 *
 * tau_e is the parameter of the Gaussian likelihood itself: the extra parameter of another
 * likelihood (likelihood.h), if it has one, stands in its place, with a gamma prior. */
#ifndef MEANFIELD_LMM_H
#define MEANFIELD_LMM_H

#include "base/vech.h"
#include "arrow/arrow.h"

/* A precision and the coefficients it governs; one before first_term governs none. */
struct precision {
    int r;                  /* size of the precision matrix                          */
    int factor;             /* 0: the leaf; f > 0: a model's other[f - 1]; -1: none  */
    int n_levels;           /* levels of its factor, 0 before first_term             */
    bool leaf;              /* coefficients in the leaf blocks, else in the global   */
    int first;              /* first row inside a leaf block, or first global column */
    int stride;             /* global: columns from one level to the next            */
    int block;              /* global: first column of its factor                    */
    int at;                 /* position of vech(Lambda) in t                         */
    int aux;                /* position of its r auxiliaries in t, or -1             */
    double df0;             /* prior df; nu + r - 1 under half-t                     */
    double nu;              /* half-t df, 0 for a plain Wishart or gamma             */
    const double *rate0;    /* prior rate matrix r x r; zero under half-t            */
    const double *aux_rate; /* 1 / A_k^2 (r), half-t only                            */
    const double *map; /* r x r: map times the effects are the user's; NULL: they are */
};

enum { LMM_MAX_PREC = 64 };

struct lmm {
    struct arrow_shape shape;
    struct arrow G;  /* C'WC (views)                                           */
    const double *h; /* C'Wy, arrow_dim()                                      */
    double yy, n, sum_log_w;
    int p;            /* fixed effects: the first p global columns              */
    bool flat;        /* flat prior on beta: Tb is zero                         */
    const double *Tb; /* p x p prior precision, full                            */
    const double *mu; /* p prior means                                          */
    double logdet_Tb; /* 0 when flat                                            */
    bool separate;    /* q(beta) prod_g q(u_g) instead of q(beta, u)             */
    int n_prec;       /* first_term + number of group terms                     */
    int first_term;   /* 1: precision 0 is the likelihood's parameter; 0: it has none */
    int n_stat;       /* sum of vech sizes: statistics of the precisions        */
    int n_par;        /* n_stat + auxiliaries                                   */
    struct precision prec[LMM_MAX_PREC];
};

/* The stored fit that residual sums of squares are taken around: nothing cancels. */
struct lmm_centre {
    const double *theta; /* dim                                                      */
    const double *grad;  /* h - G theta, dim                                         */
    double rss;          /* ||W^1/2 (y - C theta)||^2                                */
};

/* df of the full conditional (and of the variational factor) of precision k: df0 + n or
 * df0 + levels. */
double lmm_df(const struct lmm *m, int k);

/* R <- rate matrix of precision k at auxiliaries c (r values, ignored without) and
 * quadratic form ss (r x r): rate0 + 2 nu diag(c) + ss. */
void lmm_rate(const struct lmm *m, int k, const double *c, const double *ss, double *R);

/* Auxiliary i of precision k at Lambda_ii = x: Gamma((nu + r) / 2, nu x + 1 / A^2). */
double lmm_aux_shape(const struct lmm *m, int k);
double lmm_aux_rate(const struct lmm *m, int k, int i, double x);

/* Offset in theta of coefficient 0 of level g of precision k. */
size_t lmm_coef(const struct lmm *m, int k, int g);

/* U (vech) <- the sum over levels of precision k's r x r blocks of a symmetric matrix given by its
 * global block and its leaves (lower triangles). */
void lmm_block_sum(const struct lmm *m, int k, const double *global, const double *leaf,
                   double *U);

/* P += Lambda on every diagonal block that precision k governs. */
void lmm_add_term(const struct lmm *m, int k, const double *t, struct arrow *P);

/* tau_e; 1 where the Gram holds the whole precision of the rows. */
static inline double lmm_tau_e(const struct lmm *m, const double *t)
{
    return m->first_term ? t[0] : 1;
}

/* The model of the terms alone, at the same t: the precision of its rows is the Gram's. */
struct lmm lmm_terms(const struct lmm *m);

/* P <- tau_e G + T(t), T = blockdiag(T_b, I (x) Lambda_j). O(size of the arrow). */
void lmm_precision(const struct lmm *m, const double *t, struct arrow *P);

/* P <- P without what ties the effects of a factor to all others: these have then the distribution that
 * they have given that factor's effects. */
void lmm_uncouple(const struct lmm *m, int factor, struct arrow *P);

/* tr(T_b A_bb) of a symmetric global block, 0 under a flat prior. */
double lmm_prior_trace(const struct lmm *m, const double *A);

/* x <- tau_e h + T mu. */
void lmm_rhs(const struct lmm *m, double tau_e, double *x);

/* x <- T(t) (theta - mu), the gradient of the prior's quadratic form. */
void lmm_prior_gradient(const struct lmm *m, const double *t, const double *theta,
                        double *x);

/* U <- sum over levels of u u' (r x r) of precision k. */
void lmm_outer_u(const struct lmm *m, int k, const double *theta, double *U);

/* Where g (n_stat) holds the sum over precision k's levels of Cov u: g <- the derivative in vech(Lambda)
 * of E log p(u | Lambda), (levels Lambda^-1 - sum E u u') / 2, twice that off the diagonal. */
void lmm_likelihood_slope(const struct lmm *m, int k, const double *t, const double *mean,
                          double *g);

#endif
