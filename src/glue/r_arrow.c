/* r_arrow.c: glue of the arrow algebra: draws from q(theta), and every kernel for the tests. */
#include <limits.h>
#include <string.h>
#include "base/rand.h"
#include "glue/r_util.h"

/* ndraws draws of theta ~ N(mean, P(t)^-1), one per column, dim x ndraws. */
SEXP C_theta_draws(SEXP core, SEXP tau, SEXP mean, SEXP ndraws)
{
    const struct lmm m = r_model(core);
    size_t dim = arrow_dim(&m.shape);
    int n = r_as_int(ndraws, "ndraws", 0, INT_MAX);
    const double *mu = r_as_finite(mean, "mean", (R_xlen_t) dim);
    const double *t = r_as_finite(tau, "tau", m.n_stat);
    struct arrow P, F;
    R_ARENA (a) {
        P = arrow_carve(&m.shape, &a);
        F = arrow_carve(&m.shape, &a);
    }
    struct core_info info = {0, -1};
    lmm_precision(&m, t, &P);
    if (arrow_factor(&m.shape, &P, &F, &info))
        Rf_error(
            "internal error: the precision matrix of the draws is not positive definite");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    double *x = REAL(out);
    const struct ziggurat zig = rand_ziggurat();
    GetRNGstate();
    for (int i = 0; i < n; i++, x += dim) {
        rand_normals(&zig, dim, x);
        arrow_backsolve(&m.shape, &F, x);
        for (size_t k = 0; k < dim; k++) x[k] += mu[k];
    }
    PutRNGstate();
    UNPROTECT(1);
    return out;
}

/* n standard normals, for the tests. */
SEXP C_test_normals(SEXP n)
{
    SEXP out = PROTECT(Rf_allocVector(REALSXP, r_as_int(n, "n", 0, INT_MAX)));
    double *z = REAL(out);
    const struct ziggurat zig = rand_ziggurat();
    GetRNGstate();
    rand_normals(&zig, (size_t) Rf_xlength(out), z);
    PutRNGstate();
    UNPROTECT(1);
    return out;
}

/* Every arrow kernel on one matrix, for the tests against dense R.
 * P: list(n_global, n_leaf, r, ptr, idx, full, global, leaf, cross); x: a vector. */
SEXP C_test_arrow(SEXP P, SEXP x)
{
    struct arrow_shape s = r_shape(P);
    s.full = r_flag(P, "full") && s.full; /* not full is always right, if slow */
    size_t dim = arrow_dim(&s), ng = (size_t) s.n_global;
    const double *b = r_as_finite(x, "x", (R_xlen_t) dim);
    struct arrow in = {
        .global = (double *) r_dbl(P, "global", (R_xlen_t) arrow_global_size(&s)),
        .leaf = (double *) r_dbl(P, "leaf", (R_xlen_t) arrow_leaf_size(&s)),
        .cross = (double *) r_dbl(P, "cross", (R_xlen_t) arrow_cross_size(&s))};
    enum {
        STATUS,
        LOGDET,
        SOLVE,
        BACKSOLVE,
        MUL,
        S_GLOBAL,
        D_INV,
        Q,
        S_LEAF,
        OUTER,
        N_FIELDS
    };
    const struct r_field f[N_FIELDS] = {
        [STATUS] = {"status", 2, R_VECTOR},
        [LOGDET] = {"logdet", 1, R_VECTOR},
        [SOLVE] = {"solve", dim, R_VECTOR},
        [BACKSOLVE] = {"backsolve", dim, R_VECTOR},
        [MUL] = {"mul", dim, R_VECTOR},
        [S_GLOBAL] = {"S_global", ng, ng},
        [D_INV] = {"d_inv", arrow_leaf_size(&s), R_VECTOR},
        [Q] = {"q", arrow_cross_size(&s), R_VECTOR},
        [S_LEAF] = {"s_leaf", arrow_leaf_size(&s), R_VECTOR},
        [OUTER] = {"outer", ng, ng}};
    SEXP out = PROTECT(r_list(f, N_FIELDS));
    struct arrow F;
    double *scratch;
    R_ARENA (a) {
        F = arrow_carve(&s, &a);
        scratch = arena_doubles(&a, ng * (size_t) s.r);
    }
    struct core_info info = {0, -1};
    enum core_status st = arrow_factor(&s, &in, &F, &info);
    r_out(out, STATUS)[0] = (double) st;
    r_out(out, STATUS)[1] = info.block;
    if (st == CORE_OK) {
        r_out(out, LOGDET)[0] = arrow_logdet(&s, &F);
        memcpy(r_out(out, SOLVE), b, sizeof(double) * dim);
        memcpy(r_out(out, BACKSOLVE), b, sizeof(double) * dim);
        arrow_solve(&s, &F, r_out(out, SOLVE));
        arrow_backsolve(&s, &F, r_out(out, BACKSOLVE));
        arrow_mul(&s, &in, b, r_out(out, MUL));
        arrow_inverse(&s, &F, r_out(out, S_GLOBAL), r_out(out, D_INV), r_out(out, Q),
                      r_out(out, S_LEAF), scratch);
        arrow_outer(&s, r_out(out, Q), 1.0, r_out(out, OUTER));
    }
    UNPROTECT(1);
    return out;
}
