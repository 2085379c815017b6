/* r_arrow.c: glue of the arrow algebra: draws from q(theta), a covariance in arrow form, and every
 * kernel for the tests. */
#include <limits.h>
#include <string.h>
#include "base/la.h"
#include "base/rand.h"
#include "arrow/arrow_cov.h"
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
        arrow_unwhiten(&m.shape, &F, mu, x);
    }
    PutRNGstate();
    UNPROTECT(1);
    return out;
}

/* Columns of the global block that are left dense. */
SEXP C_dense_columns(SEXP core)
{
    struct lmm m = r_prior(core, 1);
    m.separate = r_flag(core, "separate");
    r_pack(&m);
    return Rf_ScalarInteger(m.shape.packed ? m.shape.n_core : m.shape.n_global);
}

/* Covariance (p x p) of the fixed effects at statistics t of the precisions, the effects of a factor
 * (struct precision; -1: of none) known. */
SEXP C_known_cov(SEXP core, SEXP tau, SEXP factor)
{
    const struct lmm m = r_model(core);
    size_t dim = arrow_dim(&m.shape), p = (size_t) m.p;
    const double *t = r_as_finite(tau, "tau", m.n_stat);
    int known = r_as_int(factor, "factor", -1, INT_MAX);
    struct arrow P, F;
    double *x;
    R_ARENA (a) {
        P = arrow_carve(&m.shape, &a);
        F = arrow_carve(&m.shape, &a);
        x = arena_doubles(&a, dim);
    }
    struct core_info info = {0, -1};
    lmm_precision(&m, t, &P);
    lmm_uncouple(&m, known, &P);
    if (arrow_factor(&m.shape, &P, &F, &info))
        Rf_error("internal error: the precision matrix is not positive definite");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, m.p, m.p));
    for (size_t j = 0; j < p; j++) {
        memset(x, 0, sizeof(double) * dim);
        x[j] = 1;
        arrow_solve(&m.shape, &F, x);
        memcpy(REAL(out) + j * p, x, sizeof(double) * p);
    }
    UNPROTECT(1);
    return out;
}

/* ---- a covariance in arrow form ---------------------------------------------------------------- */

/* x: arrow() in R, list(n_global, n_leaf, r, ptr, idx, global, d_inv, q); a packed global block is
 * list(values, elim, pattern). */
static struct arrow_cov r_arrow_cov(SEXP x, struct arrow_shape *s)
{
    SEXP global = r_elt(x, "global");
    struct arrow_cov S = {.elim = NULL};
    if (TYPEOF(global) == VECSXP) {
        r_packed_shape(r_elt(global, "pattern"), s);
        S.elim = r_finite(global, "elim", (R_xlen_t) s->eptr[s->n_elim] + s->n_elim);
        S.global = r_finite(global, "values", (R_xlen_t) arrow_global_size(s));
    } else {
        S.global = r_as_finite(global, "global", (R_xlen_t) arrow_global_size(s));
    }
    S.d_inv = r_finite(x, "d_inv", (R_xlen_t) arrow_leaf_size(s));
    S.q = r_finite(x, "q", (R_xlen_t) arrow_cross_size(s));
    return S;
}

/* S X for a matrix X of dim rows. */
SEXP C_arrow_product(SEXP S, SEXP X)
{
    struct arrow_shape s = r_shape(S);
    const struct arrow_cov cov = r_arrow_cov(S, &s);
    size_t dim = arrow_dim(&s);
    int n = r_columns(X, "X", (int) dim);
    const double *x = r_as_finite(X, "X", -1);
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    double *a = (double *) R_alloc((size_t) s.n_global + 1, sizeof(double));
    for (int j = 0; j < n; j++) {
        if (j % 64 == 0) R_CheckUserInterrupt(); /* nothing is held but R's own memory */
        arrow_cov_mul(&s, &cov, x + (size_t) j * dim, REAL(out) + (size_t) j * dim, a);
    }
    UNPROTECT(1);
    return out;
}

/* c'S c of every row of r_rows(). */
SEXP C_arrow_quad(SEXP S, SEXP rows)
{
    struct arrow_shape s = r_shape(S);
    const struct arrow_cov cov = r_arrow_cov(S, &s);
    const struct arrow_rows rw = r_rows(rows, &s);
    struct arrow_quad_work w;
    R_ARENA (a) {
        w = arrow_cov_quad_carve(&s, &a);
    }
    SEXP out = PROTECT(Rf_allocVector(REALSXP, rw.n));
    arrow_cov_quad(&s, &cov, &rw, REAL(out), &w);
    UNPROTECT(1);
    return out;
}

/* Q'D Q, n_global x n_global. */
SEXP C_arrow_leaves(SEXP S)
{
    struct arrow_shape s = r_shape(S);
    const struct arrow_cov cov = r_arrow_cov(S, &s);
    if (s.packed) r_bad("global");
    size_t scratch = arrow_cross_size(&s) + (size_t) s.r * (size_t) s.r;
    double *w = (double *) R_alloc(scratch, sizeof(double));
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, s.n_global, s.n_global));
    memset(REAL(out), 0, sizeof(double) * arrow_global_size(&s));
    if (!arrow_cov_leaves(&s, &cov, REAL(out), w)) r_bad("d_inv");
    la_fill_upper(s.n_global, REAL(out));
    UNPROTECT(1);
    return out;
}

/* ndraws draws of theta ~ N(0, S), dim x ndraws. */
SEXP C_arrow_draws(SEXP S, SEXP ndraws)
{
    struct arrow_shape s = r_shape(S);
    const struct arrow_cov cov = r_arrow_cov(S, &s);
    size_t dim = arrow_dim(&s);
    int n = r_as_int(ndraws, "ndraws", 0, INT_MAX);
    double *L, *W, *z;
    R_ARENA (a) {
        L = arena_doubles(&a, arrow_cov_root_size(&s));
        W = arena_doubles(&a, arrow_leaf_size(&s));
        z = arena_doubles(&a, dim);
    }
    if (!arrow_cov_factor(&s, &cov, L, W))
        Rf_error("internal error: the covariance of the draws is not positive definite");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, (int) dim, n));
    double *x = REAL(out);
    const struct ziggurat zig = rand_ziggurat();
    GetRNGstate();
    for (int i = 0; i < n; i++, x += dim) {
        rand_normals(&zig, dim, z);
        arrow_cov_draw(&s, &cov, L, W, z, x);
    }
    PutRNGstate();
    UNPROTECT(1);
    return out;
}

/* ---- tests --------------------------------------------------------------------------------------- */

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
