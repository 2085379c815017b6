/* r_network.c: glue of dense layers, and of Bayesian networks. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "network/bnn.h"
#include "glue/r_bb_hmc.h"
#include "glue/r_network.h"

struct mlp_shape r_network_layers(SEXP layers)
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
    const struct mlp_shape s = r_network_layers(layers);
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

/* data: list(x (p x n), y (n), family (a code)). */
static struct bnn r_bnn(SEXP layers, SEXP data)
{
    struct bnn b = {
        .net = r_network_layers(layers),
        .family = (enum bnn_family) r_int(data, "family", BNN_GAUSSIAN, BNN_CATEGORICAL)};
    int K = b.net.size[b.net.n_layers];
    SEXP x = r_elt(data, "x");
    b.n = r_columns(x, "x", b.net.size[0]);
    b.x = r_as_finite(x, "x", -1);
    b.y = r_finite(data, "y", b.n);
    if (b.family != BNN_CATEGORICAL && K != 1) r_bad("layers");
    for (int i = 0; b.family == BNN_CATEGORICAL && i < b.n; i++)
        if (!(b.y[i] >= 0 && b.y[i] < K)) r_bad("y");
    return b;
}

enum { LP, SLOPE, BY_LOG_SIGMA, N_BNN };

/* The log likelihood at every column of W (weights x points) and element of log_sigma (points);
 * gradient: its slopes too? Returns list(lp, slope (weights x points), by_log_sigma). */
SEXP C_bnn(SEXP layers, SEXP data, SEXP W, SEXP log_sigma, SEXP gradient)
{
    const struct bnn b = r_bnn(layers, data);
    const bool slopes = r_as_flag(gradient, "gradient");
    const size_t d = mlp_n_weights(&b.net);
    if (d > INT_MAX) r_bad("layers");
    const int points = r_columns(W, "W", (int) d);
    const double *w = r_as_finite(W, "W", -1),
                 *by = r_as_finite(log_sigma, "log_sigma", points);
    const size_t n = (size_t) points;
    const struct r_field f[N_BNN] = {
        [LP] = {"lp", n, R_VECTOR},
        [SLOPE] = {"slope", slopes ? d : 0, slopes ? n : 0},
        [BY_LOG_SIGMA] = {"by_log_sigma", slopes ? n : 0, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, N_BNN));
    struct bnn_work k;
    R_ARENA (a) {
        k = bnn_work_carve(&b, &a);
    }
    for (size_t s = 0; s < n; s++)
        r_out(res, LP)[s] =
            bnn_log_lik(&b, w + s * d, by[s], slopes ? r_out(res, SLOPE) + s * d : NULL,
                        slopes ? r_out(res, BY_LOG_SIGMA) + s : NULL, &k);
    UNPROTECT(1);
    return res;
}

/* What density() below needs. */
struct bnn_task {
    struct bnn b;
    struct bnn_work k;
};

static double density(void *ctx, const double *z, double *g)
{
    struct bnn_task *t = ctx;
    return bnn_log_density(&t->b, z, g, &t->k);
}

/* prior: list(prior_sd, learned, sigma (where it is known), df, scale). The rest as for C_bb_hmc(). */
SEXP C_bnn_hmc(SEXP layers, SEXP data, SEXP prior, SEXP start, SEXP metric, SEXP settings,
               SEXP progress)
{
    struct bnn_task t = {.b = r_bnn(layers, data)};
    t.b.prior_sd = r_num(prior, "prior_sd", DBL_MIN, DBL_MAX);
    t.b.learned = r_flag(prior, "learned");
    t.b.log_sigma = log(r_num(prior, "sigma", DBL_MIN, DBL_MAX));
    t.b.df = r_num(prior, "df", DBL_MIN, DBL_MAX);
    t.b.scale = r_num(prior, "scale", DBL_MIN, DBL_MAX);
    if (bnn_dim(&t.b) > INT_MAX) r_bad("layers");
    R_ARENA (a) {
        t.k = bnn_work_carve(&t.b, &a);
    }
    r_columns(start, "start", (int) bnn_dim(&t.b));
    struct r_hmc x = r_bb_hmc_new(start, metric, settings, progress);
    PROTECT(x.out);
    r_bb_hmc_run(&x, density, &t);
    UNPROTECT(1);
    return x.out;
}
