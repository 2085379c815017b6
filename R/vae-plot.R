# Pictures of an autoencoder: the bound as it rose, and the plane of two latent variables.

#' @rdname vae-methods
#' @export
plot.vae_fit <- function(x, what = c("trace", "latent"), dimensions = 1:2, groups = NULL, ...) {
  valid_fit(x)
  no_dots(...)
  shown <- c(if (nrow(x$trace)) "trace", if (x$model$latent > 1L) "latent")
  what <- if (missing(what)) shown else check_choice(what, c("trace", "latent"), "what")
  if (length(missing <- setdiff(what, shown)) || !length(what)) {
    mf_abort("engine", if ("trace" %in% missing || !length(what))
      "a fit in closed form has no trace" else "one latent variable makes no plane",
    ": see predict(type = \"latent\")", arg = "what")
  }
  if (length(what) > 1L) {
    old <- graphics::par(mfrow = c(1, 2))
    on.exit(graphics::par(old))
  }
  if ("trace" %in% what) plot_vae_trace(x)
  if ("latent" %in% what) plot_latent(x, dimensions, groups)
  invisible(x)
}

# From where the first tenth of the epochs, which would fill the picture, has come.
plot_vae_trace <- function(fit) {
  trace <- fit$trace
  shown <- trace$elbo[trace$epoch > nrow(trace) / 10]
  graphics::plot(trace$epoch, trace$elbo, type = "l", las = 1, xlab = "epoch",
    ylab = "ELBO per row", ylim = range(shown, fit$vb$elbo / nrow(fit$model$x)))
  graphics::abline(h = fit$vb$elbo / nrow(fit$model$x), lty = 3)
}

plot_latent <- function(fit, dimensions, groups) {
  q <- fit$model$latent
  ok <- is.numeric(dimensions) && length(dimensions) == 2L && all(dimensions %in% seq_len(q))
  if (!ok) {
    mf_abort("control", "`dimensions` must be two numbers from 1 to ", q, arg = "dimensions")
  }
  n <- ncol(fit$latent$m)
  if (!is.null(groups) && length(groups) != n) {
    mf_abort("control", "`groups` must have a value for each of the ", n, " rows, not ",
      length(groups), arg = "groups")
  }
  group <- as.integer(factor(groups %||% rep(1L, n)))
  colours <- rep_len(component_colours, max(group, 1L, na.rm = TRUE))
  names <- latent_names(fit$model)[dimensions]
  graphics::plot(fit$latent$m[dimensions[1L], ], fit$latent$m[dimensions[2L], ], pch = 16,
    cex = 0.5, col = grDevices::adjustcolor(colours[group], 0.5), las = 1, asp = 1,
    xlab = names[1L],
    ylab = names[2L])
  if (!is.null(groups)) {
    graphics::legend("topright", levels(factor(groups)), col = colours, pch = 16, bty = "n")
  }
}
