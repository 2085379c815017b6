# What the tests of exact and integrated fits share.

exact_data <- function(n = 18, G = 5, seed = 4) {
  set.seed(seed)
  d <- data.frame(x = rnorm(n, 2), g = factor(rep(seq_len(G), length.out = n)),
    w = runif(n, 0.5, 2), o = rnorm(n))
  d$y <- 1 + 0.5 * d$x + rnorm(G)[d$g] + rnorm(n) + d$o
  d
}
by_name <- function(s) `rownames<-`(as.data.frame(s), s$variable)

# The same posterior from importance points instead of a lattice.
by_importance <- function(fit, points = 20000) {
  model <- fit$model
  core <- lmm_core(model)
  centre <- vb_centre(core, fit$vb)
  target <- gaussian_target(core, centre)
  top <- find_mode(target, nest_start(fit$posterior$tau))
  settings <- nest_settings("exact")
  settings$points <- points
  nodes <- importance_nodes(target, top, settings)
  nodes <- c(nodes, list(centre = centre, stats = psi_statistics(nodes$psi, stat_index(model))))
  nodes <- c(nodes, mixture_moments(model, core, nodes, NULL))
  structure(list(call = fit$call, model = model, log_evidence = nodes$log_evidence,
    elbo = fit$vb$elbo, method = "importance", error = nodes$error, khat = nodes$khat,
    integrated = nodes, vb = fit$vb, draws = 10000), class = c("exact_fit", "regression_fit", "meanfield_fit"))
}
