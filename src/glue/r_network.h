/* r_network.h: layers as R has them. */
#ifndef MEANFIELD_R_NETWORK_H
#define MEANFIELD_R_NETWORK_H

#include "glue/r_util.h"
#include "network/mlp.h"

/* layers: list(size (layers + 1 ints), act (a code of enum mlp_activation each)). */
struct mlp_shape r_network_layers(SEXP layers);

#endif
