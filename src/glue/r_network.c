/* r_network.c: glue of dense layers. */
#include <limits.h>
#include <string.h>
#include "glue/r_network.h"

struct mlp_shape r_layers(SEXP layers)
{
    SEXP size = r_elt(layers, "size");
    const int *sizes = r_as_ints(size, "size", -1);
    R_xlen_t n = Rf_xlength(size);
    if (n < 2 || n > 1000) r_bad("size");
    r_in_range(sizes, n, 1, R_MAX_SQUARE, "size");
    struct mlp_shape s = {(int) n - 1, sizes, NULL};
    const int *code = r_ints(layers, "act", n - 1);
    r_in_range(code, n - 1, MLP_LINEAR, MLP_RELU, "act");
    enum mlp_activation *act =
        (enum mlp_activation *) R_alloc((size_t) n - 1, sizeof *act);
    for (R_xlen_t l = 0; l < n - 1; l++) act[l] = (enum mlp_activation) code[l];
    s.act = act;
    return s;
}

/* The last layer's values at the columns of x, a column each. */
SEXP C_mlp(SEXP layers, SEXP w, SEXP x)
{
    const struct mlp_shape s = r_layers(layers);
    const double *weights = r_as_finite(w, "w", (R_xlen_t) mlp_n_weights(&s));
    const int out = s.size[s.n_layers], in = s.size[0], block = 256;
    const int n = r_columns(x, "x", in);
    const double *from = r_as_finite(x, "x", -1);
    SEXP res = PROTECT(Rf_allocMatrix(REALSXP, out, n));
    double *units;
    R_ARENA (a) {
        units = arena_doubles(&a, mlp_n_units(&s) * (size_t) block);
    }
    for (int i = 0; i < n; i += block) {
        int rows = n - i < block ? n - i : block;
        mlp_forward(&s, weights, rows, &AT(from, 0, i, in), units);
        memcpy(&AT(REAL(res), 0, i, out), mlp_output(&s, rows, units),
               sizeof(double) * (size_t) out * (size_t) rows);
    }
    UNPROTECT(1);
    return res;
}
