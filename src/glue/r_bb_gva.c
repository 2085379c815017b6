/* r_bb_gva.c: glue of the Gaussian fit. */
#include <float.h>
#include <limits.h>
#include <string.h>
#include "blackbox/gva.h"
#include "glue/r_ask.h"

enum { MEAN, ROOT, LP, GRADIENT, BOUND, CRITERION, END, ASKED, TRACE, N_FIELDS };

static SEXP fit_result(const struct gva *x, double asked)
{
    size_t d = (size_t) x->ask.d, n = (size_t) x->n, rows = (size_t) x->iter;
    const struct r_field f[N_FIELDS] = {
        [MEAN] = {"m", d, R_VECTOR},         [ROOT] = {"L", d, d},
        [LP] = {"lp", n, R_VECTOR},          [GRADIENT] = {"gradient", d, n},
        [BOUND] = {"bound", 1, R_VECTOR},    [CRITERION] = {"criterion", 1, R_VECTOR},
        [END] = {"end", 1, R_VECTOR},        [ASKED] = {"asked", 1, R_VECTOR},
        [TRACE] = {"trace", GVA_TRACE, rows}};
    SEXP res = PROTECT(r_list(f, N_FIELDS));
    memcpy(r_out(res, MEAN), x->now.m, sizeof(double) * d);
    memcpy(r_out(res, ROOT), x->now.L, sizeof(double) * d * d);
    memcpy(r_out(res, LP), x->now.lp, sizeof(double) * n);
    memcpy(r_out(res, GRADIENT), x->now.g, sizeof(double) * d * n);
    memcpy(r_out(res, TRACE), x->trace, sizeof(double) * GVA_TRACE * rows);
    r_out(res, BOUND)[0] = x->now.bound;
    r_out(res, CRITERION)[0] = x->now.criterion;
    r_out(res, END)[0] = x->end;
    r_out(res, ASKED)[0] = asked;
    UNPROTECT(1);
    return res;
}

/* start: list(m, L); points: d x n; settings: list(max_iter, tol, max_points).
 * Returns list(list(m, L, lp, gradient, bound, criterion, end, asked, trace), status). */
SEXP C_bb_gva(SEXP evaluate, SEXP start, SEXP points, SEXP settings)
{
    int n = r_columns(points, "points", -1), d = Rf_nrows(points);
    if (n < 1 || d < 1 || d > R_MAX_SQUARE) r_bad("points");
    if (!Rf_isFunction(evaluate)) r_bad("evaluate");
    const double *E = r_as_finite(points, "points", -1);
    const double *m = r_finite(start, "m", d),
                 *L = r_finite(start, "L", (R_xlen_t) d * d);
    const struct gva_control ctl = {.max_iter =
                                        r_int(settings, "max_iter", 1, INT_MAX - 1),
                                    .tol = r_num(settings, "tol", 0, DBL_MAX)};
    double most = r_num(settings, "max_points", 0, R_PosInf), asked;
    struct gva x;
    R_ARENA (a) {
        x = gva_carve(d, n, &ctl, &a);
    }
    x.E = E;
    memcpy(x.now.m, m, sizeof(double) * (size_t) d);
    memcpy(x.now.L, L, sizeof(double) * (size_t) d * (size_t) d);
    gva_start(&x);
    enum core_status st = r_ask(&x.ask, evaluate, most, &asked);
    return r_ask_ended(fit_result(&x, asked), st, x.iter);
}
