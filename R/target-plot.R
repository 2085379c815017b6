# Pictures of fits of targets: posteriors as of other fits, and the way of an optimiser.

#' @rdname target-methods
#' @param variables Names of the variables to show, at most 12 by default.
#' @param reference A fit of the same target by [fit_exact()] or [fit_hmc()], or posterior draws.
#' @param what `"posterior"`: a panel of densities per variable; `"convergence"`: the bound at every
#'   step of the optimiser.
#' @export
plot.target_vb_fit <- function(x, variables = NULL, reference = NULL,
                               what = c("posterior", "convergence"), ...) {
  valid_fit(x)
  no_dots(...)
  what <- check_choice(what, c("posterior", "convergence"), "what")
  if (what == "posterior") plot_posterior(x, variables, reference) else plot_convergence(x)
  invisible(x)
}

plot_convergence <- function(fit) {
  trace <- fit$vb$trace
  d <- fit$model$d
  bound <- trace$elbo %||% (if (!is.null(trace$bound)) trace$bound + d / 2 * (1 + log(2 * pi)))
  if (is.null(bound)) {
    mf_abort("engine", "the optimiser kept no trace", arg = "what")
  }
  step <- trace$step %||% seq_along(bound)
  shown <- is.finite(bound)
  ylim <- stats::quantile(bound[shown], c(0.02, 1), names = FALSE)
  top <- if (sum(shown) > 60) 2.2 else 1.2
  old <- graphics::par(mar = c(3.6, 4.8, top, 0.6), mgp = c(2.4, 0.6, 0), las = 1)
  on.exit(graphics::par(old))
  graphics::plot(step[shown], bound[shown], type = if (sum(shown) > 60) "l" else "b", pch = 16,
    col = method_colours[["mfvb"]], xlab = "step", ylab = "", ylim = ylim)
  graphics::title(ylab = "ELBO, nats", line = 3.6)
  if (sum(shown) > 60) {
    smooth <- stats::filter(bound[shown], rep(1 / 25, 25))
    graphics::lines(step[shown], smooth, col = method_colours[["lrvb"]], lwd = 2)
    usr <- graphics::par("usr")
    graphics::legend(mean(usr[1:2]), usr[4L], c("each step", "mean of 25"), xjust = 0.5, yjust = 0,
      lwd = 2, bty = "n", horiz = TRUE, xpd = NA, col = method_colours[c("mfvb", "lrvb")])
  }
}
