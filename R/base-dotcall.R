# Every .Call of the package, with the types the C side expects set here.

# The only door to C, which refuses what cannot be an argument of it by an R error. A calling
# handler costs half of what tryCatch() does.
call_core <- function(entry, ...) withCallingHandlers(to_core(entry, ...), error = abort_core)
to_core <- .Call # R CMD check takes the name of an argument for that of an entry

# A refusal, or memory that could not be had, as a classed condition; other classes go their way.
abort_core <- function(e) {
  if (!inherits(e, "simpleError")) return(invisible())
  stop_if_memory(e)
  mf_abort("internal", sub("^(internal error: )?", "internal error: ", conditionMessage(e)),
    ": the fit object was changed or made by another version: refit")
}

# rows: list(X, y, offset, w, factors = list of list(code, z, r, n_levels)).
call_gram <- function(rows) call_core(C_gram, typed_rows(rows))

# Cross block of factors a and b (1-based).
call_gram_pair <- function(rows, a, b) {
  call_core(C_gram_pair, typed_rows(rows), as.integer(a - 1L), as.integer(b - 1L))
}

typed_rows <- function(rows) {
  if (!is.double(rows$X)) storage.mode(rows$X) <- "double"
  rows$factors <- lapply(rows$factors, function(f) {
    f$r <- as.integer(f$r)
    f$n_levels <- as.integer(f$n_levels)
    f
  })
  rows
}

call_gram_merge <- function(a, b, map_a, map_b, r, n_levels) {
  call_core(C_gram_merge, a, b, map_a, map_b, as.integer(r), as.integer(n_levels))
}

call_group_codes <- function(codes, w, n_levels) {
  out <- call_core(C_group_codes, codes, w, as.integer(n_levels))
  list(codes = out[[1L]], used = out[[2L]])
}

# core: engine_core() or iter_core(); start: means of the globals; progress: a function or NULL.
call_fit_vb <- function(core, start, control, progress = NULL) {
  # Newton needs a dozen sweeps: a record of max_iter rows would cost more than the fit
  control$trace_rows <- if (control$newton) min(control$max_iter, 100L) else control$max_iter
  out <- if (!is.null(core$tables)) {
    call_core(C_fit_lmm_iter, core, as.double(start), c(control, core$iterations), progress)
  } else if (is.null(core$rows)) {
    call_core(C_fit_vb, core, as.double(start), control, progress)
  } else {
    call_core(C_fit_glmm_vb, core, as.double(start), control, progress)
  }
  out <- named_status(out)
  if (!is.null(core$tables)) return(out)
  vb <- out$result
  out$result$S_global <- block_from_core(vb$S_global, vb$pattern, vb$S_elim)
  out$result$Sq_global <- block_from_core(vb$Sq_global, vb$pattern, vb$S_elim)
  out$result[c("pattern", "S_elim")] <- NULL
  out
}

call_fit_gibbs <- function(core, start, centre, control, progress) {
  out <- call_core(C_fit_gibbs, core, as.double(start), centre, control, progress)
  named_status(out)
}

# core: engine_core(); start: psi if there is one, precisions, auxiliaries.
call_fit_glmm_gibbs <- function(core, start, control, progress) {
  named_status(call_core(C_fit_glmm_gibbs, core, as.double(start), control, progress))
}

call_theta_draws <- function(core, tau, mean, ndraws) {
  call_core(C_theta_draws, core, as.double(tau), as.double(mean), as.integer(ndraws))
}

# core: iter_core(); tau: statistics of the precisions.
call_iter_draws <- function(core, tau, ndraws) {
  solved(call_core(C_lmm_iter_draws, core, as.double(tau), as.integer(ndraws)))
}
call_iter_product <- function(core, tau, X) {
  solved(call_core(C_lmm_iter_product, core, as.double(tau), as_double_matrix(X)))
}
call_iter_quad <- function(core, tau, rows) {
  solved(call_core(C_lmm_iter_quad, core, as.double(tau), rows))
}

# What conjugate gradients found, at precisions where they have found the fit.
solved <- function(out) {
  status <- out[[2L]][1L]
  if (status == core_status[["interrupted"]]) mf_interrupt()
  if (status != core_status[["ok"]]) {
    mf_abort("internal", "internal error: conjugate gradients did not converge at the fit's ",
      "precisions")
  }
  out[[1L]]
}

call_dense_columns <- function(core) call_core(C_dense_columns, core)

# factor: as core$prec has it; -1: none.
call_known_cov <- function(core, tau, factor) {
  call_core(C_known_cov, core, as.double(tau), as.integer(factor))
}

# S: arrow().
call_arrow_draws <- function(S, ndraws) call_core(C_arrow_draws, S, as.integer(ndraws))
call_arrow_leaves <- function(S) call_core(C_arrow_leaves, S)
call_arrow_product <- function(S, X) call_core(C_arrow_product, S, X)
call_arrow_quad <- function(S, rows) call_core(C_arrow_quad, S, rows)

# v: start; L: scale, v = mode + L z; seconds: CPU time that it may take; bend: of the coordinates
# v, see src/engine/bend.h, or NULL, and then v is psi.
call_nest_mode <- function(core, centre, v, L, seconds = Inf, bend = NULL) {
  named_status(call_core(C_nest_mode, core, centre, as.double(v), L, seconds, bend))
}

# v: a column per point; the density is one of v.
call_nest_log_density <- function(core, centre, v, bend = NULL) {
  call_core(C_nest_log_density, core, centre, as_double_matrix(v), bend)
}

# list(log_lik, correction, slope, log_prior, state) of a conditional fit at each column of psi.
# known, here and below: NULL or list(psi, state) of fits made before, which are not made again.
call_nest_fits <- function(core, centre, psi, known = NULL, seconds = Inf) {
  named_status(call_core(C_nest_fits, core, centre, as_double_matrix(psi), known, seconds))
}

# What the data alone know of one level's effects, see src/engine/sampling.h.
call_emulate_sampling <- function(core) named_status(call_core(C_emulate_sampling, core))

# One round of the emulator, see C_emulate().
call_emulate <- function(core, sampling, fits, state, settings) {
  named_status(call_core(C_emulate, core, sampling, fits, state, settings))
}

# control: with `bend`, as above.
call_nest_lattice <- function(core, centre, mode, L, control, progress = NULL) {
  named_status(call_core(C_nest_lattice, core, centre, as.double(mode), L, control, progress))
}

# psi of the columns of v, and v of those of psi.
bend_to_psi <- function(v, bend) call_nest_bend(v, bend, 0L)
bend_from_psi <- function(psi, bend) call_nest_bend(psi, bend, 1L)

call_nest_bend <- function(x, bend, back) {
  if (is.null(bend) || !length(x)) return(x)
  call_core(C_nest_bend, as_double_matrix(x), bend, back)
}

# psi: a column per node; rows: linear combinations of theta, within: covariances without what the
# nodes' means differ by, see src/engine/conditional.h.
call_nest_mixture <- function(core, centre, psi, weights, blocks = FALSE, each = FALSE,
                              dense = FALSE, rows = NULL, progress = NULL, known = NULL,
                              within = FALSE) {
  want <- list(blocks = blocks, each = each, dense = dense, within = within)
  out <- named_status(call_core(C_nest_mixture, core, centre, as_double_matrix(psi),
    as.double(weights), want, rows, progress, known))
  out$result$cov_global <- block_from_core(out$result$cov_global, out$result$pattern)
  out$result$pattern <- NULL
  out
}

call_nest_draws <- function(core, centre, psi) {
  call_core(C_nest_draws, core, centre, as_double_matrix(psi))
}

# centre, spread: nodes x mixtures. A matrix, probs x mixtures.
call_nest_quantiles <- function(sinc, weights, centre, spread, probs) {
  by_node <- function(x) as_double_matrix(if (is.matrix(x)) x else matrix(x, length(weights)))
  call_core(C_nest_quantiles, as.integer(sinc), as.double(weights), by_node(centre),
    by_node(spread), as.double(probs))
}

as_double_matrix <- function(x) {
  if (!is.double(x)) storage.mode(x) <- "double"
  x
}

named_status <- function(out) list(result = out[[1L]], status = out[[2L]])

# The joint log density of a mixed model at the columns of x, list(lp, gradient). scale: of every
# precision NULL or list(W, b), the units of its effects, see src/engine/joint.h.
call_joint <- function(core, centre, scale, x, gradient = TRUE) {
  call_core(C_joint, core, centre, scale, as_double_matrix(x), gradient)
}

# list(theta, t) of x; with back, x of columns (theta, psi).
call_joint_theta <- function(core, centre, scale, x, back = FALSE) {
  out <- call_core(C_joint_theta, core, centre, scale, as_double_matrix(x), back)
  if (back) out$theta else out
}

call_joint_hmc <- function(core, centre, scale, start, metric, settings, progress = NULL) {
  named_status(call_core(C_joint_hmc, core, centre, scale, as_double_matrix(start), metric,
    settings, progress))
}

call_lr <- function(V, C) call_core(C_lr, V, C)

call_test_normals <- function(n) call_core(C_test_normals, as.integer(n))

call_test_pg <- function(b, c) {
  n <- max(length(b), length(c))
  call_core(C_test_pg, rep_len(as.double(b), n), rep_len(as.double(c), n))
}

call_test_arrow <- function(P, x) call_core(C_test_arrow, P, as.double(x))

# ---- mixtures: core is gmm_core(); stats one vector (N, mean, ss), see src/mixture/gmm.h
# ----------

call_gmm_start <- function(X, k, seed, rounds) {
  call_core(C_gmm_start, X, as.integer(k), as.double(seed), as.integer(rounds))
}

# label: 0-based.
call_gmm_label_stats <- function(core, label) {
  call_core(C_gmm_label_stats, core, as.integer(label))
}

# units: list(U, A) or NULL when no covariances are asked for.
call_gmm_fit <- function(core, stats, units, control, keep_r = FALSE) {
  p <- ncol(core$X)
  if (is.null(units)) units <- list(U = diag(1, p), A = diag(1, p))
  control$trace_rows <- min(control$max_iter, 1000L)
  control$keep_r <- keep_r
  out <- call_core(C_gmm_fit, core, as.double(stats),
    list(U = as.double(units$U), A = as.double(units$A)), control)
  list(result = out[[1L]], status = out[[2L]])
}

# R: Cholesky factors (lower) of the precision matrices, p x p x k.
call_gmm_classify <- function(core, m, R, offset) {
  call_core(C_gmm_classify, core, as.double(m), as.double(R), as.double(offset))
}

call_gmm_gibbs <- function(core, start, label, units, control, progress) {
  start <- lapply(start, as.double)
  units <- lapply(units, as.double)
  out <- call_core(C_gmm_gibbs, core, start, as.integer(label), units, control, progress)
  list(result = list(draws = out[[1L]][[1L]], perm = out[[1L]][[2L]]), status = out[[2L]])
}

# ---- topics: core is lda_core(); matrices K x words and K x documents, see src/topics/lda.h
# ----------

call_lda_start <- function(core, seed) call_core(C_lda_start, core, as.double(seed))

# gamma: NULL for an even start.
call_lda_fit <- function(core, lambda, gamma, control) {
  named_status(call_core(C_lda_fit, core, as.double(lambda), gamma, control))
}

call_lda_stochastic <- function(core, lambda, control) {
  named_status(call_core(C_lda_stochastic, core, as.double(lambda), control))
}

# log_topic: E log topic, or logs of given topics.
call_lda_documents <- function(core, log_topic, gamma, control) {
  call_core(C_lda_documents, core, as.double(log_topic), gamma, control)
}

# label: 0-based, of each cell; phi: K x cells or NULL.
call_lda_gibbs <- function(core, label, phi, control, progress) {
  out <- named_status(call_core(C_lda_gibbs, core, as.integer(label), phi, control, progress))
  names(out$result) <- c("draws", "log_joint", "perm")
  out
}

# ---- any log density: evaluate is a function of (points d x n, gradient), see src/glue/r_ask.h

# E: d x n fixed points; x: (m, omega), see src/blackbox/factorised.h.
call_bb_factorised <- function(evaluate, E, x, settings) {
  out <- call_core(C_bb_factorised, evaluate, E, as.double(x), settings)
  list(result = out[[1L]], status = out[[2L]])
}

# B: 2d x k.
call_bb_factorised_response <- function(evaluate, E, x, B, settings) {
  out <- call_core(C_bb_factorised_response, evaluate, E, as.double(x), B, settings)
  list(result = out[[1L]], status = out[[2L]])
}

# shape: named list of integer lengths or dimensions. Position of the first that x has not, or 0.
call_misshapen <- function(x, shape, finite) .Call(C_misshapen, x, shape, finite)

# What the core has room for, a named vector (src/glue/r_limits.c); core_limit(): one of its
# elements.
call_limits <- function() call_core(C_limits)
core_limit <- function(name) call_limits()[[name]]

# ---- any log density: Z, G a column per point; shape: transform_shape() ------------------------

call_bb_transform <- function(shape, Z) call_core(C_bb_transform, shape, Z)
call_bb_pull <- function(shape, Z, G) call_core(C_bb_pull, shape, Z, G)
call_bb_points <- function(skeleton, x) call_core(C_bb_points, skeleton, x)
call_bb_untransform <- function(shape, x) call_core(C_bb_untransform, shape, as.double(x))

# evaluate: an evaluator, function(Z, gradient). The result says why it ended; status is
# "dear" where max_points did.
call_bb_lbfgs <- function(evaluate, start, max_iter = 200L, tol = 1e-3, max_points = Inf) {
  settings <- list(max_iter = as.integer(max_iter), tol = tol, max_points = max_points)
  named_status(call_core(C_bb_lbfgs, evaluate, as.double(start), settings))
}

# points: d x n, mean e e' = I.
call_bb_gva <- function(evaluate, m, L, points, max_iter, tol, max_points = Inf) {
  settings <- list(max_iter = as.integer(max_iter), tol = tol, max_points = max_points)
  start <- list(m = as.double(m), L = as_double_matrix(L))
  named_status(call_core(C_bb_gva, evaluate, start, points, settings))
}

# flow: list(m, L, layers, hidden), for the map with w. A fit draws random numbers.
call_bb_flow <- function(evaluate, flow, settings) {
  named_status(call_core(C_bb_flow, evaluate, flow, settings))
}

# x: base points e, a column each; inverse: points z. list(y: the others, log_q at z).
call_bb_flow_map <- function(flow, x, inverse = FALSE) {
  call_core(C_bb_flow_map, flow, as_double_matrix(x), inverse)
}

# Samplers of any log density; see src/glue/r_bb_hmc.c.
call_bb_hmc <- function(evaluate, start, metric, settings, progress = NULL) {
  named_status(call_core(C_bb_hmc, evaluate, as_double_matrix(start), metric, settings, progress))
}

# ---- networks: layers is dense_layers(); x a column per row of the data -------------------------

call_mlp <- function(layers, w, x) {
  call_core(C_mlp, layers, as.double(w), as_double_matrix(x))
}

# data: list(x, y, family); W: weights, a column per point; list(lp, slope, by_log_sigma).
call_bnn <- function(layers, data, W, log_sigma, gradient) {
  call_core(C_bnn, layers, data, as_double_matrix(W), as.double(log_sigma), gradient)
}

call_bnn_hmc <- function(layers, data, prior, start, metric, settings, progress = NULL) {
  named_status(call_core(C_bnn_hmc, layers, data, prior, as_double_matrix(start), metric, settings,
    progress))
}

# core: vae_core(); w: parameters; points: list(e (q x n), weight); own: list(m, log_s), q x n.
call_vae_train <- function(core, w, points, own, control, progress = NULL) {
  named_status(call_core(C_vae_train, core, as.double(w), points, own, control, progress))
}
call_vae_own <- function(core, w, points, own, max_iter = 200L, tol = 1e-6) {
  control <- list(max_iter = as.integer(max_iter), tol = tol)
  named_status(call_core(C_vae_own, core, as.double(w), points, own, control))
}
