/* glmm_gibbs.h: blocked sampler of the generalised mixed model
 *
 *     y_i | eta_i ~ likelihood, eta = offset + C theta; theta and the precisions as in lmm.h
 *
 * theta | precisions, in one block, by one of
 *   - Polya-Gamma augmentation (binomial): omega_i ~ PG(n_i, eta_i), then theta is Gaussian with
 *     weights omega and right-hand side C'(y - n/2 - omega offset) [Polson, Scott & Windle 2013];
 *   - a Hamiltonian move (any likelihood) in the coordinates whitened by the arrow factor of
 *     P = C'W_0 C + T(t), its Gaussian part integrated exactly [Neal 2011; Shahbaba, Lan, Johnson
 *     & Neal 2014]: only what the reference quadratic misses is left to the leapfrog step.
 * Then the precisions as in gibbs.h, a scale move of each random coefficient under the
 * likelihood itself, one precision with the whitened coordinates held still, and the logarithm of
 * the likelihood's extra parameter by slice sampling. Exact for the model. */
#ifndef MEANFIELD_GLMM_GIBBS_H
#define MEANFIELD_GLMM_GIBBS_H

#include "model/glmm.h"
#include "engine/gibbs.h"

enum glmm_mover { GLMM_PG, GLMM_HMC };

struct glmm_gibbs_control {
    struct gibbs_control gibbs;
    enum glmm_mover mover;
};

struct glmm_gibbs_state {
    struct gibbs_state g;
    double accept, step; /* out: mean acceptance after warm-up, step size (HMC)       */
};

/* The quadratic that stands in for the log likelihood, row by row:
 *     g_0 (eta - eta_0) - w_0 (eta - eta_0)^2 / 2.
 * With G = C'W_0 C and h = C'(g_0 + w_0 (eta_0 - offset)) it makes `lmm`, the terms of
 * the model, a Gaussian one without tau_e. */
struct glmm_reference {
    struct lmm lmm;
    double *h;
    double *eta, *score, *weight;             /* n each: eta_0, g_0, w_0                */
    double *sum_eta, *sum_score, *sum_weight; /* n each: over the sweeps of a window   */
    double count;
};

/* The step size so far: dual averaging [Hoffman & Gelman 2014, section 3.2]. */
struct glmm_averaging {
    double anchor, error, log_step, log_mean, count;
};

struct glmm_gibbs_work {
    struct gibbs_work g;
    struct glmm_reference ref;
    double *centre, *v, *theta; /* dim each: mode of the quadratic, position, proposal  */
    double *t;                  /* n_par: precisions at a proposal                    */
    double *eta;                /* n: at the current theta                            */
    double *eta_new, *row;      /* n each: at a proposal; anything per row             */
    struct glmm_averaging adapt;
};

struct glmm_gibbs_work glmm_gibbs_work_carve(const struct glmm *m, struct arena *a);

/* What a chain works on. */
struct glmm_gibbs_chain {
    const struct glmm *m;
    struct glmm_gibbs_control ctl;
    struct glmm_gibbs_state *s;
    struct glmm_gibbs_work *w;
};

/* For sampler_run(). g.t in: start of the extra parameter, the precisions and auxiliaries. Cost per
 * sweep of one move: O(n (p + sum r)) per gradient, plus one arrow factorisation. */
struct sampler glmm_gibbs_sampler(struct glmm_gibbs_chain *x);

#endif
