/* r_arrow.c: glue of the arrow algebra: draws from q(theta), and every kernel for the tests. */
#include <string.h>
#include "r_util.h"
#include "rand.h"

/* ndraws draws of theta ~ N(mean, P(t)^-1), one per column, dim x ndraws. */
SEXP C_theta_draws(SEXP core, SEXP tau, SEXP mean, SEXP ndraws)
{
    const struct lmm m = r_model(core);
    size_t dim = arrow_dim(&m.shape);
    int n = Rf_asInteger(ndraws);
    if (Rf_length(tau) < m.n_stat || (size_t) Rf_xlength(mean) != dim)
        Rf_error("internal error: tau or mean has the wrong length");
    const double *mu = REAL(mean), *t = REAL(tau);
    struct arena count = {NULL, 0};
    arrow_carve(&m.shape, &count);
    arrow_carve(&m.shape, &count);
    struct arena a = r_arena(&count);
    struct arrow P = arrow_carve(&m.shape, &a), F = arrow_carve(&m.shape, &a);
    struct core_info info = {0, -1};
    lmm_precision(&m, t, &P);
    if (arrow_factor(&m.shape, &P, &F, &info))
        Rf_error("internal error: the precision matrix of the draws is not positive definite");
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
    SEXP out = PROTECT(Rf_allocVector(REALSXP, Rf_asInteger(n)));
    double *z = REAL(out);
    const struct ziggurat zig = rand_ziggurat();
    GetRNGstate();
    rand_normals(&zig, (size_t) Rf_xlength(out), z);
    PutRNGstate();
    UNPROTECT(1);
    return out;
}

/* Every arrow kernel on one matrix, for the tests against dense R.
 * P: list(n_global, n_leaf, r, ptr, idx, global, leaf, cross); x: a vector. */
SEXP C_test_arrow(SEXP P, SEXP x)
{
    struct arrow_shape s = {.n_global = r_int(P, "n_global"), .n_leaf = r_int(P, "n_leaf"),
                            .r = r_int(P, "r")};
    s.ptr = r_ints(P, "ptr", (R_xlen_t) s.n_leaf + 1);
    s.idx = r_ints(P, "idx", s.n_leaf ? s.ptr[s.n_leaf] : 0);
    s.full = Rf_asLogical(r_elt(P, "full"));
    size_t dim = arrow_dim(&s), ng = (size_t) s.n_global;
    if ((size_t) Rf_xlength(x) != dim) Rf_error("internal error: x has the wrong length");
    struct arrow in = {.global = (double *) r_dbl(P, "global", (R_xlen_t) arrow_global_size(&s)),
                       .leaf = (double *) r_dbl(P, "leaf", (R_xlen_t) arrow_leaf_size(&s)),
                       .cross = (double *) r_dbl(P, "cross", (R_xlen_t) arrow_cross_size(&s))};
    enum { STATUS, LOGDET, SOLVE, BACKSOLVE, MUL, S_GLOBAL, D_INV, Q, S_LEAF, OUTER, N_FIELDS };
    const struct r_field f[N_FIELDS] = {
        [STATUS] = {"status", 2, R_VECTOR},        [LOGDET] = {"logdet", 1, R_VECTOR},
        [SOLVE] = {"solve", dim, R_VECTOR},        [BACKSOLVE] = {"backsolve", dim, R_VECTOR},
        [MUL] = {"mul", dim, R_VECTOR},            [S_GLOBAL] = {"S_global", ng, ng},
        [D_INV] = {"d_inv", arrow_leaf_size(&s), R_VECTOR},
        [Q] = {"q", arrow_cross_size(&s), R_VECTOR},
        [S_LEAF] = {"s_leaf", arrow_leaf_size(&s), R_VECTOR},
        [OUTER] = {"outer", ng, ng}};
    SEXP out = PROTECT(r_list(f, N_FIELDS));
    struct arena count = {NULL, 0};
    arrow_carve(&s, &count);
    arena_doubles(&count, ng * (size_t) s.r);
    struct arena a = r_arena(&count);
    struct arrow F = arrow_carve(&s, &a);
    double *scratch = arena_doubles(&a, ng * (size_t) s.r);
    struct core_info info = {0, -1};
    enum core_status st = arrow_factor(&s, &in, &F, &info);
    r_out(out, STATUS)[0] = (double) st;
    r_out(out, STATUS)[1] = info.block;
    if (st == CORE_OK) {
        r_out(out, LOGDET)[0] = arrow_logdet(&s, &F);
        memcpy(r_out(out, SOLVE), REAL(x), sizeof(double) * dim);
        memcpy(r_out(out, BACKSOLVE), REAL(x), sizeof(double) * dim);
        arrow_solve(&s, &F, r_out(out, SOLVE));
        arrow_backsolve(&s, &F, r_out(out, BACKSOLVE));
        arrow_mul(&s, &in, REAL(x), r_out(out, MUL));
        arrow_inverse(&s, &F, r_out(out, S_GLOBAL), r_out(out, D_INV), r_out(out, Q),
                      r_out(out, S_LEAF), scratch);
        arrow_outer(&s, r_out(out, Q), 1.0, r_out(out, OUTER));
    }
    UNPROTECT(1);
    return out;
}
