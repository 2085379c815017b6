/* r_lr.c: glue of the linear-response core alone, for systems with components left out. */
#include <string.h>
#include "glue/r_util.h"

/* V, C: q x q. Returns list(Sigma, K), or NULL when V^-1 - C is not positive definite. */
SEXP C_lr(SEXP V, SEXP C)
{
    int q = r_columns(V, "V", -1);
    size_t n = (size_t) q * (size_t) q;
    if (q > R_MAX_SQUARE) r_bad("V");
    const double *v = r_as_dbl(V, "V", (R_xlen_t) n), *c = r_as_dbl(C, "C", (R_xlen_t) n);
    const struct r_field f[2] = {{"Sigma", (size_t) q, (size_t) q},
                                 {"K", (size_t) q, (size_t) q}};
    SEXP out = PROTECT(r_list(f, 2));
    struct lr w;
    R_ARENA (a) {
        w = lr_carve(q, &a);
    }
    memcpy(w.V, v, sizeof(double) * n);
    memcpy(w.C, c, sizeof(double) * n);
    bool ok = lr_respond(&w);
    if (ok) memcpy(r_out(out, 0), w.Sigma, sizeof(double) * n);
    if (ok) memcpy(r_out(out, 1), w.K, sizeof(double) * n);
    UNPROTECT(1);
    return ok ? out : R_NilValue;
}
