# Every .Call of the package, with the types the C side expects set here.

call_gram <- function(X, y, offset, w, group, n_groups) {
  if (!is.double(X)) storage.mode(X) <- "double"
  .Call(C_gram, list(
    X = X, y = y, offset = offset, w = w, group = group, z = NULL,
    n_groups = as.integer(n_groups), r = 1L
  ))
}

call_gram_merge <- function(a, b, map_a, map_b, n_groups, r) {
  .Call(C_gram_merge, a, b, as.integer(map_a), as.integer(map_b), as.integer(n_groups),
    as.integer(r))
}

call_group_codes <- function(codes, w, n_levels) {
  out <- .Call(C_group_codes, codes, w, as.integer(n_levels))
  list(codes = out[[1L]], used = out[[2L]])
}

# core: lmm_core(); start: means of the globals.
call_fit_vb <- function(core, start, control) {
  out <- .Call(C_fit_vb, core, as.double(start), control)
  list(result = out[[1L]], status = out[[2L]])
}

call_fit_gibbs <- function(core, start, centre, control, progress) {
  out <- .Call(C_fit_gibbs, core, as.double(start), centre, control, progress)
  list(result = out[[1L]], status = out[[2L]])
}

call_theta_draws <- function(core, tau, mean, ndraws) {
  .Call(C_theta_draws, core, as.double(tau), as.double(mean), as.integer(ndraws))
}

call_lr <- function(V, C) .Call(C_lr, V, C)

call_test_normals <- function(n) .Call(C_test_normals, as.integer(n))

call_test_arrow <- function(P, x) .Call(C_test_arrow, P, as.double(x))
