# Which Gaussian models are fitted by conjugate gradients.

ITERATE_ABOVE <- 2000 # dense columns: there their cube costs more than the iterations

# A model beyond the dense block is refused or left to the iterations. Of a Gaussian model only what
# nested factors leave has to be dense.
settle_size <- function(model) {
  if (has_rows(model) || model$layout$dim$n_global <= MAX_GLOBAL) return(model)
  dense <- columns_left(model)
  if (dense <= MAX_GLOBAL) return(model)
  if (!all_scalar(model)) {
    refuse_size(dense, model$factors, ", but for factors with an intercept alone")
  }
  model$iterations <- iteration_settings(only = TRUE)
  model
}

# How a variational fit goes about it.
choose_route <- function(model, integrate) {
  if (isTRUE(model$iterations$only) && integrate == "yes") refuse_iterated(model, "integrate")
  if (has_rows(model) || isTRUE(model$iterations$only)) return(model)
  if (identical(model$blocks, "separate") || integrate == "yes" || !all_scalar(model)) {
    return(without_iterations(model))
  }
  if (is_iterated(model)) return(model)
  if (columns_left(model) > ITERATE_ABOVE) model$iterations <- iteration_settings()
  model
}

# Columns that stay dense when nested factors are eliminated. Where the leaf meets several levels of
# factors that are too many themselves, all of them: to look for an order would be dear.
columns_left <- function(model) {
  n <- model$layout$dim$n_global
  if (n <= ITERATE_ABOVE || crossed_columns(model$gram) > ITERATE_ABOVE) return(n)
  if (is_nested_pair(model$gram)) return(model$layout$dim$p)
  dense_columns(lmm_core(model))
}

# Two factors, one nested in the other: all but the fixed effects can be eliminated.
is_nested_pair <- function(gram) {
  length(gram$factors) == 2L && all(diff(gram$pairs[[1L]]$ptr) == 1L)
}

# Coefficients of the factors of which a leaf meets more than one level, as a rule.
crossed_columns <- function(gram) {
  sum(vapply(gram$pairs, function(pair) {
    if (pair$a != 1L || length(pair$idx) < 1.5 * (length(pair$ptr) - 1)) return(0)
    f <- gram$factors[[pair$b]]
    as.double(length(f$levels) * length(f$coef))
  }, 0))
}
