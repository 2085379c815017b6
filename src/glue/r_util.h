/* r_util.h: helpers of the glue. Only glue/ and init.c see SEXP.
 *
 * Nothing that R hands over is believed: every entry decodes its arguments by these helpers, which
 * raise an R error, "internal error: ...", before anything is held (R/base-dotcall.R gives it a class).
 * What they let through cannot crash the core or keep it from ending. */
#ifndef MEANFIELD_R_UTIL_H
#define MEANFIELD_R_UTIL_H

#include <stdint.h>
#include <R.h>
#include <Rinternals.h>
#include "base/core.h"
#include "arrow/arrow_cov.h"
#include "model/lmm.h"
#include "engine/lr.h"

/* Rows and columns of a square matrix, so that their product is an int. */
enum { R_MAX_SQUARE = 46340 };

/* The error of a bad argument or element. */
void r_bad(const char *name) __attribute__((noreturn));

/* One value each, in a range: a whole number, a number (NaN never), TRUE or FALSE. */
int r_as_int(SEXP x, const char *name, int low, int high);
double r_as_num(SEXP x, const char *name, double low, double high);
bool r_as_flag(SEXP x, const char *name);

bool r_all_finite(const double *x, R_xlen_t n);

/* Vectors of a length (-1: any); r_as_finite() looks at every number. */
const double *r_as_dbl(SEXP x, const char *name, R_xlen_t length);
const double *r_as_finite(SEXP x, const char *name, R_xlen_t length);
const int *r_as_ints(SEXP x, const char *name, R_xlen_t length);

/* A list of `length` elements (-1: any); NULL counts as an empty one. Returns the length. */
int r_as_list(SEXP x, const char *name, int length);

/* The number of columns of a matrix of doubles with `nrow` rows (-1: any). */
int r_columns(SEXP x, const char *name, int nrow);

/* NULL or a function. */
SEXP r_progress(SEXP x);

/* Elements of a named list: r_find() gives NULL when there is none of that name, r_elt() raises the
 * error. */
SEXP r_find(SEXP list, const char *name);
SEXP r_elt(SEXP list, const char *name);
bool r_is_null(SEXP list, const char *name);
int r_int(SEXP list, const char *name, int low, int high);
double r_num(SEXP list, const char *name, double low, double high);
double r_finite_num(SEXP list, const char *name);
bool r_flag(SEXP list, const char *name);
const double *r_dbl(SEXP list, const char *name, R_xlen_t length);
const double *r_finite(SEXP list, const char *name, R_xlen_t length);
const int *r_ints(SEXP list, const char *name, R_xlen_t length);

/* Every code of the n in low, ..., high? */
void r_in_range(const int *code, R_xlen_t n, int low, int high, const char *name);

/* Views of the model list made by R's lmm_core(), checked against each other.
 * r_prior(): the shape and the priors only. */
struct lmm r_model(SEXP core);
struct lmm r_prior(SEXP core, int first_term);
struct lmm r_prior_of(SEXP core, struct arrow_shape shape, int first_term);
struct arrow_shape r_shape(SEXP core);
struct lmm_centre r_centre(SEXP centre, const struct lmm *m);

/* rows: NULL or list(global (n_global x rows, or list(ptr, idx, val)), leaf (rows), z (r x rows)). */
struct arrow_rows r_rows(SEXP rows, const struct arrow_shape *s);

/* An order of elimination of the global block (elimination.h), in R_alloc memory. */
void r_order_global(struct lmm *m);

/* Nested factors are eliminated, and the global block is packed, where that leaves no more than half of
 * the columns dense: of more, BLAS makes up for all that could be left out. Separate blocks need all of
 * S. r_model() has done it. */
void r_pack(struct lmm *m);

/* The global block of the core's Gram as the shape has it. */
const double *r_global(SEXP core, const struct arrow_shape *s);

/* The pattern of a packed global block as R keeps it, NULL of a dense one: list(elim, eptr, eidx, core),
 * counted from 0; and back, into a shape that has its lists of columns. */
SEXP r_pattern(const struct arrow_shape *s);
void r_packed_shape(SEXP pattern, struct arrow_shape *s);

/* The workspace of a whole call: the block is run twice, once to count what it carves from the arena
 * `a` and, after one R_alloc, to carve it. It must do nothing else, and has to end by itself:
 *     R_ARENA (a) { w = vb_work_carve(&m, &a); } */
#define R_ARENA(a) for (struct arena a = {NULL, SIZE_MAX}; r_arena(&a);)
bool r_arena(struct arena *a);

/* A named list of zeroed numeric vectors and matrices; the caller PROTECTs it. */
#define R_VECTOR ((size_t) -1)
struct r_field {
    const char *name;
    size_t nrow, ncol; /* ncol = R_VECTOR: a plain vector of length nrow          */
};
SEXP r_list(const struct r_field *fields, int n);
double *r_out(SEXP list, int i);

/* list(result, c(status, iter, block)), status zero; the caller PROTECTs it. */
SEXP r_with_status(SEXP result);

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
