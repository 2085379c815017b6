/* mlp.h: dense layers, one after another, on a batch of rows, and their backward pass.
 *
 *   u_0 = x,   u_l = act_l(W_l u_{l-1} + b_l),  l = 1, ..., L;   size_l = length of u_l
 *
 * Weights are one flat vector, layer by layer W_l (size_l x size_{l-1}, column-major), then b_l. A
 * batch has a column per row of the data: x is size_0 x n. `units` is the workspace of n rows,
 * n mlp_n_units() doubles: u_1, ..., u_L (size_l x n each), then room for the slopes of hidden
 * layers, which mlp_backward() writes; it leaves the u_l as they are.
 *
 * Backward, of a scalar F with slope D_L = dF/du_L:
 *   D_l <- D_l o act_l'(u_l),   dF/dW_l = D_l u_{l-1}',   dF/db_l = D_l 1,   D_{l-1} = W_l' D_l
 * where act' is a function of the output: 1 - u^2 of tanh, [u > 0] of relu.
 *
 * Cost: forward 2 n n_weights flops, backward twice that, by BLAS; tanh of every hidden unit. */
#ifndef MEANFIELD_MLP_H
#define MEANFIELD_MLP_H

#include <stddef.h>

enum mlp_activation { MLP_LINEAR, MLP_TANH, MLP_RELU };

/* Every size is at least 1, n_layers too. */
struct mlp_shape {
    int n_layers;
    const int *size; /* n_layers + 1, the input's first                     */
    const enum mlp_activation
        *act; /* n_layers                                            */
};

size_t mlp_n_weights(const struct mlp_shape *s);
size_t
mlp_n_units(const struct mlp_shape *s); /* doubles of workspace for each row          */

/* Where the weights of layer l (from 0) begin: W, then b. */
size_t mlp_layer_weights(const struct mlp_shape *s, int l);

/* units <- the layers' values at x. */
void mlp_forward(const struct mlp_shape *s, const double *w, int n, const double *x,
                 double *units);

/* u_L after mlp_forward(), size_L x n. */
double *mlp_output(const struct mlp_shape *s, int n, double *units);

/* After mlp_forward() at the same w and x. dout: dF/du_L, overwritten; dw += dF/dw, or NULL;
 * dx <- dF/dx (size_0 x n), or NULL. */
void mlp_backward(const struct mlp_shape *s, const double *w, int n, const double *x,
                  double *units, double *dout, double *dw, double *dx);

#endif
