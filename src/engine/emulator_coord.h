/* emulator_coord.h: coordinates of the variance parameters in which log likelihoods are smooth.
 *
 * With K_k = U U' the sampling covariance of one level's effects (sampling.h) at psi itself, and Sigma_k
 * their covariance,
 *
 *     X_k = log(I + U^-1 Sigma_k U^-T),    x_0 = log s2 - e_0  (where there is a t_0; e_0: a constant),
 *
 * laid out like psi. X is smooth at Sigma = 0 and where Sigma is singular. The elements of
 * q = exp(-X), and products of those of different terms, span the log likelihoods of balanced designs:
 * the trend is a combination of
 *
 *     1,  x,  q,  q_i q_j of different terms,  q_0 q_i q_j with a third. */
#ifndef MEANFIELD_EMULATOR_COORD_H
#define MEANFIELD_EMULATOR_COORD_H

#include "engine/sampling.h"

enum { EMULATOR_MAX_D = 8 };

struct emulator_coord {
    const struct lmm *m;
    struct sampling sampling;
    double e0;
    bool triples;              /* in the trend                                        */
    const double *prior_const; /* n_prec                                              */
    const double *bend;        /* d: of the lattice's coordinates v, see bend.h      */
    int order[LMM_MAX_PREC];   /* terms, each before those nested in it               */
    int owner[EMULATOR_MAX_D]; /* precision of each coordinate                        */
};

/* Fills order and owner. */
void emulator_coord_prepare(struct emulator_coord *c);

/* x, q (d each) <- coordinates at psi. False: there are none. */
bool emulator_coord_at(const struct emulator_coord *c, const double *psi, double *x,
                       double *q);

/* As well g (d) <- the gradient in x of a function whose gradient in the statistics is `slope` (d), and
 * Q (d x d) <- dq_i / dx_j. */
bool emulator_coord_pull(const struct emulator_coord *c, const double *psi,
                         const double *slope, double *x, double *q, double *g, double *Q);

/* log p(Lambda) + log |d Lambda / d psi|. */
double emulator_coord_prior(const struct emulator_coord *c, const double *psi);

/* The number of functions in the trend; h <- they at (x, q); their derivatives in x_k. */
int emulator_coord_size(const struct emulator_coord *c);
void emulator_coord_trend(const struct emulator_coord *c, const double *x,
                          const double *q, double *h);
void emulator_coord_trend_slope(const struct emulator_coord *c, const double *q,
                                const double *Q, int k, double *h);

#endif
