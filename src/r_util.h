/* r_util.h: helpers of the glue. Only r_*.c and init.c see SEXP. */
#ifndef MEANFIELD_R_UTIL_H
#define MEANFIELD_R_UTIL_H

#include <R.h>
#include <Rinternals.h>
#include "core.h"
#include "lmm.h"
#include "lr.h"

/* Element of a named list; raises an R error when it is missing (nothing is held yet). */
SEXP r_elt(SEXP list, const char *name);
double r_num(SEXP list, const char *name);
int r_int(SEXP list, const char *name);
const double *r_dbl(SEXP list, const char *name, R_xlen_t length);
const int *r_ints(SEXP list, const char *name, R_xlen_t length);
bool r_is_null(SEXP list, const char *name);

/* Views of the model list made by R's lmm_core(); lengths are checked against each other.
 * r_prior(): the shape and the priors only. */
struct lmm r_model(SEXP core);
struct lmm r_prior(SEXP core, int first_term);
struct arrow_shape r_shape(SEXP core);

/* One R_alloc for a whole call: bytes as counted by the carve functions on an empty arena. */
struct arena r_arena(const struct arena *counted);

/* A named list of zeroed numeric vectors and matrices; the caller PROTECTs it. */
#define R_VECTOR ((size_t) -1)
struct r_field {
    const char *name;
    size_t nrow, ncol; /* ncol = R_VECTOR: a plain vector of length nrow          */
};
SEXP r_list(const struct r_field *fields, int n);
double *r_out(SEXP list, int i);

/* A poll hook that looks for Ctrl-C, and calls an R function of one argument (sweeps done)
 * about a hundred times a run when there is one. Neither can jump. */
struct r_poll {
    SEXP progress; /* function or R_NilValue                                       */
    int every;
};
int r_poll_hook(void *ctx, int done);

/* c(status, iter, block) as an integer vector. */
void r_set_status(int *out, enum core_status st, const struct core_info *info);

#endif
