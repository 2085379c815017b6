# Gaussian models of crossed factors with many levels that are fitted by conjugate gradients: how
# they are known, and who cannot do with it.

# What src/engine/lmm_iter_vb.h takes: factors of fewer levels than `few` are solved exactly; probes
# to begin with and at most, and the errors that are aimed at, of a log precision in posterior SDs
# and of its SD, relative. only: the dense block would be too large.
iteration_settings <- function(few = 64L, probes = 8L, most_probes = 64L, aim = 0.01,
                               sd_aim = 0.004, only = FALSE) {
  list(few = few, probes = probes, most_probes = most_probes, aim = aim, sd_aim = sd_aim,
    only = only)
}

# Is the model fitted by conjugate gradients? Then there is no covariance matrix of its effects.
is_iterated <- function(model) !is.null(model$iterations)

without_iterations <- function(model) {
  model$iterations <- NULL
  model
}

# The model for an engine that cannot do with them.
dense_model <- function(model) {
  if (isTRUE(model$iterations$only)) refuse_iterated(model)
  without_iterations(model)
}

# Does every factor have one coefficient, as the iterations want it?
all_scalar <- function(model) all(model$layout$effects$r == 1L)

# The one answer of what needs the matrix of the effects.
refuse_iterated <- function(model, arg = "object") {
  size <- format(model$layout$dim$n_global, big.mark = ",")
  mf_abort("size", "this needs a dense matrix of the ", size, " coefficients beside the largest ",
    "factor's, and the limit is ", format(MAX_GLOBAL, big.mark = ","), ": use fit_vb() with ",
    "integrate = \"no\", which does without, drop or coarsen a factor, or fit a subset", arg = arg)
}

# ---- what the probes tell ------------------------------------------------------------------------

MAX_PROBE_ERROR <- 0.05 # posterior SDs of a log precision

probe_error <- function(vb) max(vb$precision_error)

# Did the iterations converge, and may the probes be believed?
probes_do <- function(run) {
  run$status[1L] %in% core_status[c("ok", "maxit")] &&
    !isTRUE(probe_error(run$result) > MAX_PROBE_ERROR)
}

check_probes <- function(vb, model) {
  if (!isTRUE(probe_error(vb) > MAX_PROBE_ERROR)) return(invisible())
  mf_abort("size", "with ", vb$probes, " probes ",
    precision_names(model)[which.max(vb$precision_error)], " is known to ",
    format(probe_error(vb), digits = 2), " posterior SDs only: drop or coarsen a factor, ",
    "or fit a subset", arg = "formula")
}
