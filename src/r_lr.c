/* r_lr.c: glue of the linear-response core alone, for systems with components left out. */
#include <string.h>
#include "r_util.h"

/* V, C: q x q. Returns list(Sigma, K), or NULL when V^-1 - C is not positive definite. */
SEXP C_lr(SEXP V, SEXP C)
{
    int q = Rf_nrows(V);
    size_t n = (size_t) q * (size_t) q;
    if (TYPEOF(V) != REALSXP || TYPEOF(C) != REALSXP || (size_t) Rf_xlength(V) != n ||
        (size_t) Rf_xlength(C) != n)
        Rf_error("internal error: V and C must be square matrices of one size");
    const struct r_field f[2] = {{"Sigma", (size_t) q, (size_t) q}, {"K", (size_t) q, (size_t) q}};
    SEXP out = PROTECT(r_list(f, 2));
    struct arena count = {NULL, 0};
    lr_carve(q, &count);
    struct arena a = r_arena(&count);
    struct lr w = lr_carve(q, &a);
    memcpy(w.V, REAL(V), sizeof(double) * n);
    memcpy(w.C, REAL(C), sizeof(double) * n);
    bool ok = lr_respond(&w);
    memcpy(r_out(out, 0), w.Sigma, sizeof(double) * n);
    memcpy(r_out(out, 1), w.K, sizeof(double) * n);
    UNPROTECT(1);
    return ok ? out : R_NilValue;
}
