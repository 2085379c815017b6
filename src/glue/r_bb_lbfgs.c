/* r_bb_lbfgs.c: glue of the way uphill. */
#include <float.h>
#include <limits.h>
#include <string.h>
#include "blackbox/lbfgs.h"
#include "glue/r_ask.h"

enum { PATH, GRADIENT, LP, END, ASKED, N_FIELDS };

static SEXP path_result(const struct lbfgs *x, double asked)
{
    size_t d = (size_t) x->ask.d, n = (size_t) x->n_path;
    const struct r_field f[N_FIELDS] = {[PATH] = {"path", d, n},
                                        [GRADIENT] = {"path_gradient", d, n},
                                        [LP] = {"path_lp", n, R_VECTOR},
                                        [END] = {"end", 1, R_VECTOR},
                                        [ASKED] = {"asked", 1, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, N_FIELDS));
    memcpy(r_out(res, PATH), x->z, sizeof(double) * d * n);
    memcpy(r_out(res, GRADIENT), x->g, sizeof(double) * d * n);
    memcpy(r_out(res, LP), x->lp, sizeof(double) * n);
    r_out(res, END)[0] = x->end;
    r_out(res, ASKED)[0] = asked;
    UNPROTECT(1);
    return res;
}

/* evaluate: see r_ask.h; settings: list(max_iter, tol, max_points).
 * Returns list(list(path, path_gradient, path_lp, end, asked), status). */
SEXP C_bb_lbfgs(SEXP evaluate, SEXP start, SEXP settings)
{
    const double *from = r_as_finite(start, "start", -1);
    if (Rf_xlength(start) < 1 || Rf_xlength(start) > INT_MAX) r_bad("start");
    if (!Rf_isFunction(evaluate)) r_bad("evaluate");
    const struct lbfgs_control ctl = {.max_iter =
                                          r_int(settings, "max_iter", 0, INT_MAX - 1),
                                      .tol = r_num(settings, "tol", 0, DBL_MAX)};
    double most = r_num(settings, "max_points", 0, R_PosInf), asked;
    struct lbfgs x;
    R_ARENA (a) {
        x = lbfgs_carve((int) Rf_xlength(start), &ctl, &a);
    }
    memcpy(x.z, from, sizeof(double) * (size_t) x.ask.d);
    lbfgs_start(&x);
    enum core_status st = r_ask(&x.ask, evaluate, most, &asked);
    return r_ask_ended(path_result(&x, asked), st, x.n_path);
}
