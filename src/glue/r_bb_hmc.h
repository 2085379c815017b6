/* r_bb_hmc.h: a Hamiltonian sampler from R's arguments, whoever answers it. */
#ifndef MEANFIELD_R_BB_HMC_H
#define MEANFIELD_R_BB_HMC_H

#include "blackbox/hamilton.h"
#include "glue/r_util.h"

struct r_hmc {
    struct hamilton h; /* hooks not yet set                                        */
    const double *start;
    double most;   /* points that may be asked for                             */
    double *asked; /* points asked for, in the result                          */
    struct r_poll poll;
    SEXP out; /* list(result, status): the caller PROTECTs it             */
};

/* Arguments as of C_bb_hmc(); the workspace is R's. */
struct r_hmc r_bb_hmc_new(SEXP start, SEXP metric, SEXP settings, SEXP progress);
void r_bb_hmc_close(struct r_hmc *x, enum core_status st);

/* Runs a sampler that the core answers, which cannot jump: a log density at z and its slope g. */
typedef double r_bb_hmc_density(void *ctx, const double *z, double *g);
void r_bb_hmc_run(struct r_hmc *x, r_bb_hmc_density *density, void *ctx);

#endif
