# Dense layers: sizes and activations as src/network/mlp.h has them, and weights to start from.

ACTIVATIONS <- c(linear = 0L, tanh = 1L, relu = 2L)

# in -> hidden ... -> out, with tanh in the hidden layers.
dense_layers <- function(inputs, hidden, outputs) {
  list(size = as.integer(c(inputs, hidden, outputs)),
    act = unname(c(rep(ACTIVATIONS["tanh"], length(hidden)), ACTIVATIONS["linear"])))
}

# Where the weights of each layer stand in the one vector: a data frame of from (the number before
# the first), inputs, outputs.
layer_places <- function(layers) {
  inputs <- utils::head(layers$size, -1L)
  outputs <- layers$size[-1L]
  size <- as.double(inputs + 1) * outputs
  list2DF(list(from = cumsum(c(0, utils::head(size, -1L))), inputs = inputs, outputs = outputs))
}

count_weights <- function(layers) {
  sum(as.double(utils::head(layers$size, -1L) + 1) * layers$size[-1L])
}

# Normal weights of variance 1 / inputs, so that signals keep their size, and biases of zero
# [Glorot and Bengio 2010]. From R's generator.
initial_weights <- function(layers) {
  place <- layer_places(layers)
  unlist(Map(function(inputs, outputs) {
    c(stats::rnorm(inputs * outputs, sd = 1 / sqrt(inputs)), numeric(outputs))
  }, place$inputs, place$outputs))
}

# Sizes of hidden layers that a user gives.
check_hidden <- function(hidden) {
  ok <- is.numeric(hidden) && length(hidden) && all(is.finite(hidden)) &&
    all(hidden == round(hidden)) && all(hidden >= 1) && all(hidden <= 10000)
  if (!ok) {
    mf_abort("control", "`hidden` must be the numbers of units of the hidden layers, whole ",
      "numbers from 1 to 10000 such as c(20, 10), not ", describe(hidden), arg = "hidden")
  }
  as.integer(hidden)
}
