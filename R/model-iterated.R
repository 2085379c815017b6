# Gaussian models whose crossed factors have more levels than a dense matrix of their global block
# is made for: the core that keeps their tables, and who cannot do with it.

# What src/engine/lmm_iter_vb.h takes: factors of fewer levels than `few` are solved exactly; probes
# to begin with and at most, and the error of a log precision, in posterior SDs, that is aimed at.
iteration_settings <- function(few = 64L, probes = 4L, most_probes = 64L, aim = 0.01) {
  list(few = few, probes = probes, most_probes = most_probes, aim = aim)
}

# Is the model fitted by conjugate gradients? Then there is no covariance matrix of its effects.
is_iterated <- function(model) !is.null(model$iterations)

# The core of the variational engine.
vb_core <- function(model) if (is_iterated(model)) iter_core(model) else engine_core(model)

# The list that C_fit_lmm_iter() reads: the Gram as it was summed. d: sum of weights of each level;
# xz: p x levels; tables: of pairs of factors, as in the Gram.
iter_core <- function(model) {
  if (identical(model$blocks, "separate")) {
    mf_abort("size", "`blocks = \"separate\"` is not for ", iterated_size(model), ": leave it out",
      arg = "blocks")
  }
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
fixed_gram <- function(core) {
  x <- seq_len(core$p)
  core$xx %||% core$global[x, x, drop = FALSE]
}

iterated_size <- function(model) {
  paste("a model with", format(model$layout$dim$n_global, big.mark = ","),
    "coefficients beside the largest factor's")
}

# The one answer of what needs the matrix.
refuse_iterated <- function(model, arg = "object") {
  mf_abort("size", iterated_size(model), " has no covariance matrix of its effects (the limit is ",
    format(MAX_GLOBAL, big.mark = ","), "): use fit_vb() with integrate = \"no\" and its summary(), ",
    "ranef(), predict(re.form = NA) and fitted(), drop or coarsen a factor, or fit a subset",
    arg = arg)
}

# May the probes be believed?
check_probes <- function(vb, model) {
  worst <- which.max(vb$precision_error)
  if (!isTRUE(vb$precision_error[worst] > 0.05)) return(invisible())
  mf_abort("size", "with ", vb$probes, " probes ", precision_names(model)[worst], " is known to ",
    format(vb$precision_error[worst], digits = 2), " posterior SDs only: drop or coarsen a factor, ",
    "or fit a subset", arg = "formula")
}
