/* r_bb_factorised.c: glue of the factorised Gaussian on any log density. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "blackbox/factorised_fit.h"
#include "blackbox/factorised_response.h"
#include "glue/r_ask.h"

/* E: d x n points; x: (m, omega). */
static struct factorised r_factorised(SEXP E, SEXP x, const double **start)
{
    struct factorised f = {.n = r_columns(E, "E", -1), .d = Rf_nrows(E)};
    if (f.n < 1 || f.d < 1 || f.n > INT_MAX / 2 / f.d || f.d > INT_MAX / 4) r_bad("E");
    f.E = r_as_finite(E, "E", -1);
    *start = r_as_finite(x, "x", 2 * (R_xlen_t) f.d);
    return f;
}

enum { X, ELBO, SLOPE, CRITERION, ITERATIONS, PRODUCTS, OUTCOME, ASKED, N_FIELDS };

static SEXP new_result(size_t d)
{
    const struct r_field f[N_FIELDS] = {[X] = {"x", 2 * d, R_VECTOR},
                                        [ELBO] = {"elbo", 1, R_VECTOR},
                                        [SLOPE] = {"slope", 2 * d, R_VECTOR},
                                        [CRITERION] = {"criterion", 1, R_VECTOR},
                                        [ITERATIONS] = {"iterations", 1, R_VECTOR},
                                        [PRODUCTS] = {"products", 1, R_VECTOR},
                                        [OUTCOME] = {"outcome", 1, R_VECTOR},
                                        [ASKED] = {"asked", 1, R_VECTOR}};
    return r_with_status(r_list(f, N_FIELDS));
}

static void put_fit(SEXP res, const struct factorised_fit *c)
{
    size_t bytes = 2 * (size_t) c->f.d * sizeof(double);
    memcpy(r_out(res, X), c->f.x, bytes);
    memcpy(r_out(res, SLOPE), c->slope, bytes);
    r_out(res, ELBO)[0] = -c->F + c->f.d * (1 + log(2 * 3.14159265358979323846)) / 2;
    r_out(res, CRITERION)[0] = c->criterion;
    r_out(res, ITERATIONS)[0] = c->iter;
    r_out(res, PRODUCTS)[0] = c->products;
    r_out(res, OUTCOME)[0] = c->outcome;
}

/* evaluate: see r_ask.h; settings: list(max_iter, tol, max_points). Returns list(result, status). */
SEXP C_bb_factorised(SEXP evaluate, SEXP E, SEXP x, SEXP settings)
{
    if (!Rf_isFunction(evaluate)) r_bad("evaluate");
    const double *start;
    struct factorised_fit c = {.f = r_factorised(E, x, &start),
                               .max_iter = r_int(settings, "max_iter", 0, INT_MAX - 1),
                               .tol = r_num(settings, "tol", 0, DBL_MAX)};
    double max_points = r_num(settings, "max_points", 0, R_PosInf);
    R_ARENA (a) {
        factorised_fit_carve(&c, &a);
    }
    memset(c.slope, 0, 2 * (size_t) c.f.d * sizeof(double));
    SEXP out = PROTECT(new_result((size_t) c.f.d)), res = VECTOR_ELT(out, 0);
    struct asker a = factorised_fit_asker(&c, start);
    enum core_status st = r_ask(&a, evaluate, max_points, r_out(res, ASKED));
    put_fit(res, &c);
    struct core_info info = {c.iter, -1};
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* list(list(out (2d x k), short_of (k), asked), status), all zero; the caller PROTECTs it. */
static SEXP new_response(size_t d, size_t k)
{
    const struct r_field f[] = {
        {"out", 2 * d, k}, {"short_of", k, R_VECTOR}, {"asked", 1, R_VECTOR}};
    return r_with_status(r_list(f, 3));
}

/* B: 2d x k; settings: list(solve, tol, max_inner, max_points). Products of the curvature with B, or
 * solutions. Returns list(result, status). */
SEXP C_bb_factorised_response(SEXP evaluate, SEXP E, SEXP x, SEXP B, SEXP settings)
{
    if (!Rf_isFunction(evaluate)) r_bad("evaluate");
    const double *at;
    struct factorised_response c = {.f = r_factorised(E, x, &at),
                                    .solve = r_flag(settings, "solve"),
                                    .tol = r_num(settings, "tol", 0, DBL_MAX),
                                    .max_inner =
                                        r_int(settings, "max_inner", 1, INT_MAX - 1)};
    double max_points = r_num(settings, "max_points", 0, R_PosInf);
    c.k = r_columns(B, "B", 2 * c.f.d);
    c.B = r_as_finite(B, "B", -1);
    SEXP out = PROTECT(new_response((size_t) c.f.d, (size_t) c.k)),
         res = VECTOR_ELT(out, 0);
    c.out = r_out(res, 0);
    R_ARENA (a) {
        factorised_response_carve(&c, &a);
        c.short_of = arena_ints(&a, (size_t) c.k);
    }
    for (int j = 0; j < c.k; j++) c.short_of[j] = 0;
    struct asker a = factorised_response_asker(&c, at);
    enum core_status st = r_ask(&a, evaluate, max_points, r_out(res, 2));
    for (int j = 0; j < c.k; j++) r_out(res, 1)[j] = c.short_of[j];
    struct core_info info = {c.column, -1};
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}
