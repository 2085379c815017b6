# Gaussian models of crossed factors with many levels: which of them are fitted by conjugate
# gradients, the core for that, and who cannot do with it.

ITERATE_ABOVE <- 2000 # dense columns: there their cube costs more than the iterations

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

# The core of the variational engine, and what the posterior that it finds is read with.
vb_core <- function(model) if (is_iterated(model)) iter_core(model) else engine_core(model)
sums_core <- function(model) if (is_iterated(model)) iter_core(model) else lmm_core(model)

# The list that C_fit_lmm_iter() reads: the Gram as it was summed. d: sum of weights of each level;
# xz: p x levels; tables: of pairs of factors, as in the Gram.
iter_core <- function(model) {
  g <- model$gram
  w <- working_gram(g, model$coords)
  b <- working_beta_prior(model$resolved$beta, model$coords)
  layout <- model$layout
  dim <- layout$dim
  list(
    n_global = dim$n_global, n_leaf = dim$leaves, r = dim$r, p = dim$p, xx = w$XX,
    factors = Map(function(f, xz) list(n = length(f$levels), d = f$zz, xz = xz), g$factors, w$XZ),
    tables = g$pairs, h = c(w$Xy, unlist(w$Zy[-1L]), unlist(w$Zy[1L])), yy = w$yy, n = g$n,
    sum_log_w = g$sum_log_w, flat = b$flat, Tb = b$Tb, mu = b$mu, logdet_Tb = b$logdet,
    prec = core_precisions(model), layout = layout, iterations = model$iterations
  )
}

# The Gram of the fixed effects, of either core.
fixed_gram <- function(core) core$xx %||% gram_head(core$global, seq_len(core$p))

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
