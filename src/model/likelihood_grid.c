/* likelihood_grid.c: exponentials at the points of a grid (see likelihood_grid.h). */
#include <math.h>
#include "base/logistic.h"
#include "model/likelihood_grid.h"

enum { SIDE = 2 * LIKELIHOOD_GRID_HALF + 1 };

double likelihood_grid_reach(const struct likelihood_grid *x, double mu, const double *e)
{
    double reach = fabs(mu);
    for (int c = 0; c < x->r; c++) reach += fabs(e[c]) * x->node[x->half];
    return reach;
}

struct likelihood_rows likelihood_grid_some(const struct likelihood_rows *rows, size_t i)
{
    size_t left = rows->n - i,
           n = left < LIKELIHOOD_GRID_ROWS ? left : LIKELIHOOD_GRID_ROWS;
    return (struct likelihood_rows){n, rows->y + i, rows->size + i};
}

void likelihood_grid_powers(const struct likelihood_grid *x, size_t n, const double *mu,
                            const double *e, struct likelihood_grid_exp *powers)
{
    size_t r = (size_t) x->r, half = (size_t) x->half;
    double *at = powers->at;
    powers->n = n;
    for (size_t i = 0; i < n; i++) {
        at[i] = mu[i];
        for (size_t c = 0; c < r; c++)
            for (size_t j = 0; j < half; j++)
                at[(1 + c * half + j) * n + i] = e[i * r + c] * x->node[j + 1];
    }
    logistic_exp_rows((1 + r * half) * n, at, at);
}

/* exp(e_c z) of a row at all nodes; powers: of the positive ones, `stride` apart. */
static void all_nodes(int half, const double *powers, size_t stride, double *out)
{
    out[half] = 1;
    for (int j = 1; j <= half; j++) {
        out[half + j] = powers[(size_t) (j - 1) * stride];
        out[half - j] = 1 / out[half + j];
    }
}

int likelihood_grid_exp(const struct likelihood_grid *x,
                        const struct likelihood_grid_exp *powers, size_t i, double times,
                        double *out)
{
    int points = 1, side = 2 * x->half + 1;
    double factor[SIDE];
    out[0] = times * powers->at[i];
    for (int c = 0; c < x->r; c++) {
        all_nodes(x->half, powers->at + (1 + (size_t) (c * x->half)) * powers->n + i,
                  powers->n, factor);
        for (int j = side; j-- > 0;) /* the first block is the last to change */
            for (int k = 0; k < points; k++) out[k + j * points] = out[k] * factor[j];
        points *= side;
    }
    return points;
}

void likelihood_grid_line(const struct likelihood_grid *x, double value,
                          const double *slope, double *out)
{
    for (int k = 0; k < likelihood_grid_size(x); k++) {
        out[k] += value;
        for (int c = 0; c < x->r; c++) out[k] += slope[c] * likelihood_grid_node(x, k, c);
    }
}
