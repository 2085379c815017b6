/* gibbs.h: blocked Gibbs sampler of the Gaussian model
 *
 *     theta | t,  then  Lambda_k | theta, c_k,  c_k | Lambda_k  for each precision,
 *
 * [Ewing 2026, appendix B, with gamma conditionals for the precisions] and, per random
 * coefficient, an interweaving scale move u -> a u, Lambda -> D^-1 Lambda D^-1, D = diag(.. a ..)
 * that cures slow mixing of its standard deviation. */
#ifndef MEANFIELD_GIBBS_H
#define MEANFIELD_GIBBS_H

#include "base/rand.h"
#include "model/lmm.h"
#include "engine/sampler.h"

struct gibbs_control {
    struct sampler_control run;
    bool interweave;
};

struct gibbs_state {
    double *t;       /* globals; in: start, out: last draw                        */
    double *theta;   /* dim; out: last draw                                       */
    double *draws;   /* kept x (p + n_stat): beta, vech of every precision         */
    double *u_draws; /* kept x n_u, or NULL; the user's effects, in the order of theta */
    double *u_mean, *u_m2; /* running mean and sum of squares of u (n_u each); in: 0  */
};

struct gibbs_work {
    struct arrow P, F;
    double *z, *dev, *Gdev; /* dim each                                           */
    struct ziggurat zig;
};

/* Lambda_k | theta, c ~ Wishart(df, R^-1) and c_i | Lambda_ii, into t; ss: quadratic form
 * (r x r). False when the rate matrix is not positive definite. */
bool gibbs_draw_precision(const struct lmm *m, double *t, const struct ziggurat *zig,
                          int k, const double *ss);

/* The prior's part of the scale move of one coefficient, whatever the likelihood: log prior of
 * the moved precision + Jacobian at x = log a; the density of u given the precision is unchanged
 * [Liu & Sabatti 2000]. Wishart(df0, R^-1), o = sum_{j != i} R_ij L_ij:
 *     -df0 x - (R_ii L_ii / a^2 + 2 o / a) / 2
 * half-t, the auxiliary integrated out so that a large nu does not slow the move:
 *     -df0 x - (nu + r)/2 log(nu L_ii / a^2 + 1 / A_i^2). */
struct scale_prior {
    double df0, own, other, aux_shape, aux_rate;
};
struct scale_prior gibbs_scale_prior(const struct lmm *m, const double *t, int k, int i);
double gibbs_scale_log_prior(const struct scale_prior *v, double x);

/* First bracket of the slice sampler of log a. */
double gibbs_scale_width(const struct precision *pr);

/* Lambda -> D^-1 Lambda D^-1 for coefficient i of precision k, D_ii = a. */
void gibbs_scale_precision(const struct lmm *m, double *t, int k, int i, double a);

/* Its auxiliary given the precision; nothing without one. */
void gibbs_draw_auxiliary(const struct lmm *m, double *t, int k, int i);

/* The precision of every group term given its effects, and after each the scale moves of its
 * coefficients (NULL: none). False where a rate matrix is not positive definite. */
bool gibbs_draw_terms(const struct lmm *m, double *t, const double *theta,
                      const struct ziggurat *zig, void (*move)(void *ctx, int k, int i),
                      void *ctx);

/* The scale move: u -> a u, the precision likewise; a new auxiliary. */
void gibbs_apply_scale(const struct lmm *m, double *t, double *theta, int k, int i,
                       double a);

/* Every precision finite, every variance positive? */
bool gibbs_valid_precisions(const struct lmm *m, const double *t);

struct gibbs_work gibbs_work_carve(const struct lmm *m, struct arena *a);

/* theta | t ~ N(P^-1 b, P^-1), b = tau_e h + T mu (tau_e = 1 where there is none):  theta = F^-T (F^-1 b + z). */
enum core_status gibbs_draw_theta(const struct lmm *m, struct gibbs_state *s,
                                  struct gibbs_work *w, struct core_info *info);

/* Row `row` of the `kept` stored draws, and the running moments of u. */
void gibbs_keep(const struct lmm *m, struct gibbs_state *s, int kept, int row);

/* What a chain works on. */
struct gibbs_chain {
    const struct lmm *m;
    struct gibbs_control ctl;
    const struct lmm_centre *c;
    struct gibbs_state *s;
    struct gibbs_work *w;
    bool fresh; /* w->Gdev is that of s->theta                                         */
};

/* For sampler_run(). Cost per sweep: one arrow factorisation, free of the number of rows. */
struct sampler gibbs_sampler(struct gibbs_chain *x);

#endif
