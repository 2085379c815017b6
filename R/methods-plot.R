# Pictures: densities of a fit, one panel per parameter.

#' Plot the posterior of a fit
#'
#' One panel per parameter: the densities of mean-field variational Bayes, of its
#' linear-response correction, the exact one where the fit was integrated over its precisions, and
#' of a reference when there is one (the four-panel and eight-panel figures of the paper). MFVB and
#' LRVB precisions and standard deviations are log-normal.
#'
#' Mean field is dotted orange, linear response blue, the exact density (integrated, or refined for
#' a [target()]) dashed green, draws of Gibbs sampling, of Hamiltonian Monte Carlo or of a reference
#' black. Of a target the first is the Gaussian fit, of whichever approximation.
#'
#' @param x A fit.
#' @param variables Names of the variables to show (as in [summary()]); by default
#'   the coefficients, `tau_e` and `sigma_e`, `log_tau_u` and `sigma_u`, at most 12.
#' @param reference A fit of the same model by [fit_exact()], [fit_gibbs()] or [fit_hmc()], or
#'   posterior draws, to show beside it.
#' @param ... Not used.
#' @return `x`, invisibly.
#' @aliases plot.vb_fit plot.exact_fit plot.gibbs_fit
#' @examples
#' fit <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
#' set.seed(1)
#' plot(fit, reference = fit_gibbs(fit, chains = 2, iter = 1000, warmup = 200))
#' @export
plot.meanfield_fit <- function(x, variables = NULL, reference = NULL, ...) {
  valid_fit(x)
  no_dots(...)
  plot_posterior(x, variables, reference)
}

plot_posterior <- function(x, variables, reference) {
  table <- variable_table(x$model, u = !is.null(variables))
  variables <- plot_variables(variables, table)
  u <- "u" %in% table$kind[match(variables, table$variable)]
  ref <- if (is.null(reference)) list(kind = "none") else reference_source(x, reference)
  if (u && ref$kind %in% c("gibbs", "hmc")) ref$draws <- as_draws(reference, u = "auto")
  best <- posterior_of(x)
  curves <- fitted_curves(x, variables, u)
  curves[[own_curve(x)]] <- density_curves(best, variables, u)
  if (ref$kind == "exact") curves$exact <- density_curves(posterior_of(reference), variables, u)
  own <- inherits(best, "draws_posterior")
  if (own && !is.null(ref$draws)) {
    mf_abort("control", "one set of draws is shown at a time: plot a vb_fit with this ",
      "`reference`, or give an exact_fit", arg = "reference")
  }
  draws <- if (own) all_draws(best, u = if (u) "auto" else FALSE) else ref$draws
  panels <- lapply(variables, function(v) {
    list(curves = Filter(Negate(is.null), lapply(curves, `[[`, v)),
      draws = if (!is.null(draws) && v %in% posterior::variables(draws)) {
        as.vector(posterior::extract_variable_matrix(draws, v))
      })
  })
  kind <- if (ref$kind == "draws") "reference" else ref$kind
  draw_panels(variables, panels, if (own) chain_kind(x) else kind)
  invisible(x)
}

# list(mfvb, lrvb): density curves of the fit before refinement or integration, named by variable.
fitted_curves <- function(fit, variables, u) UseMethod("fitted_curves")

#' @export
fitted_curves.meanfield_fit <- function(fit, variables, u) {
  normal_curves(normal_of(fit), variables, u)
}

# What the fit's own posterior is called, where it is neither normal nor draws.
own_curve <- function(fit) UseMethod("own_curve")

#' @export
own_curve.meanfield_fit <- function(fit) "exact"

# list(mfvb, lrvb): density curves named by variable; NULL without a normal posterior.
normal_curves <- function(p, variables, u) {
  if (is.null(p)) return(NULL)
  rows <- normal_rows(p, u)
  rows <- rows[match(variables, rows$variable), ]
  of <- function(method) {
    stats::setNames(lapply(seq_along(variables), function(i) {
      if (method == "lrvb" && is.na(rows$s_lrvb[i])) return(NULL)
      normal_curve(rows[i, ], rows[[paste0("s_", method)]][i], rows[[paste0("sd_", method)]][i])
    }), variables)
  }
  list(mfvb = of("mfvb"), lrvb = of("lrvb"))
}

# Density curves of a posterior that is neither normal nor draws, named by variable.
density_curves <- function(p, variables, u) UseMethod("density_curves")

#' @export
density_curves.default <- function(p, variables, u) NULL

#' @export
density_curves.mixture_posterior <- function(p, variables, u) {
  parts <- mixture_components(p, u)
  stats::setNames(lapply(variables, function(v) mixture_curve(parts[[v]])), variables)
}

mixture_curve <- function(part) {
  w <- part$weights
  if (is.null(part$spread)) { # weighted points
    d <- stats::density(part$centre, weights = w, adjust = 1.4, n = 512)
    x <- d$x
    y <- d$y
  } else {
    q <- call_nest_quantiles(part$sinc, w, part$centre, part$spread, c(0.0005, 0.9995))
    x <- seq(q[1L], q[2L], length.out = 201)
    if (length(w) > MOST_KERNELS) {
      cells <- gathered_kernels(part, w)
      part[c("centre", "spread")] <- cells[c("centre", "spread")]
      w <- cells$w
    }
    y <- vapply(x, function(at) {
      z <- (at - part$centre) / part$spread
      kernel <- if (part$sinc) ifelse(abs(z) < 1e-8, 1, sin(pi * z) / (pi * z)) else stats::dnorm(z)
      sum(w * kernel / part$spread)
    }, 0)
  }
  y <- pmax(y, 0)
  # far down its tail the sum is rounding, which the slope of exp would blow up
  if (part$link == "exp") {
    kept <- y > 0.01 * max(y)
    x <- x[kept]
    y <- y[kept]
  }
  shown <- shown_values(x, part)
  slope <- switch(part$link, exp = shown, tanh = 1 - shown^2,
    sinh = part$unit * cosh(sinh(x)) * cosh(x), 1)
  if (!is.null(part$bend)) slope <- slope * bent_log_slope(x, part)
  list(x = shown, y = y / slope)
}

# More kernels than that are gathered in cells for a curve: of neighbours the mean, whose error, of
# second order in the width of a cell (a hundredth of the range), the eye does not see.
MOST_KERNELS <- 3000L

gathered_kernels <- function(part, w) {
  cell <- function(x, n) pmin(floor((x - min(x)) / max(diff(range(x)), 1e-300) * n), n - 1)
  lot <- 10 * cell(part$centre, 150) + cell(log(part$spread), 10)
  sums <- rowsum(cbind(w, w * part$centre, w * part$spread), lot, reorder = FALSE)
  list(w = sums[, 1L], centre = sums[, 2L] / sums[, 1L], spread = sums[, 3L] / sums[, 1L])
}

# Of the logarithm, in the coordinate that it is bent to.
bent_log_slope <- function(x, part) {
  abs(part$power) / 2 * bend_slope(sign(part$power) * x, part$bend)
}

# Those asked for, or at most 12: coefficients and, of what linear response changes most, all.
plot_variables <- function(variables, table) {
  if (is.null(variables)) {
    kind <- table$kind
    scales <- table$block == "lead" & kind %in% c("tau", "sigma") |
      table$block == "group" & kind %in% c("log_tau", "sigma")
    weights <- utils::head(which(kind == "log_pi"), 4L)
    if (length(weights) == 1L) weights <- integer() # of the one component: certain
    last <- c(which(scales), weights)
    first <- utils::head(which(kind %in% c("beta", "mu", "parameter", "generated")),
      12L - length(last))
    return(table$variable[c(first, last)])
  }
  if (!is.character(variables)) {
    mf_abort("control", "`variables` must be names, not ", describe(variables), arg = "variables")
  }
  wrong <- setdiff(variables, table$variable)
  if (length(wrong)) {
    mf_abort("control", "`variables` names '", wrong[1L], "', which is no variable of the fit",
      arg = "variables")
  }
  variables
}

# Density of a normal on its own scale, of its exponential, or of a beta with the moments given, on
# a grid.
normal_curve <- function(row, s, sd) {
  z <- seq(-4, 4, length.out = 201)
  if (row$link == "beta") {
    if (!(sd > 0)) return(list(x = row$mean_mfvb, y = NaN))
    shape <- beta_shapes(row$mean_mfvb, sd)
    x <- stats::qbeta(stats::pnorm(z), shape$a, shape$b)
    return(list(x = x, y = stats::dbeta(x, shape$a, shape$b)))
  }
  x <- row$loc + s * z
  d <- stats::dnorm(x, row$loc, s)
  if (row$link == "exp") {
    d <- d / exp(x)
    x <- exp(x)
  }
  list(x = x, y = d)
}

draw_panels <- function(variables, panels, ref_name) {
  n <- length(variables)
  if (!n) mf_abort("control", "`variables` is empty: there is nothing to plot", arg = "variables")
  nc <- min(n, if (n <= 4L) 2L else if (n <= 9L) 3L else 4L)
  nr <- ceiling(n / nc)
  old <- graphics::par(mfrow = c(nr, nc), mar = c(3.6, 4.2, 1.2, 0.6), mgp = c(2.2, 0.6, 0),
    oma = c(0, 0, 1.8, 0), las = 1)
  on.exit(graphics::par(old))
  used <- character()
  for (i in seq_len(n)) used <- union(used, draw_panel(variables[i], panels[[i]], ref_name))
  panel_legend(used)
}

draw_panel <- function(name, panel, ref_name) {
  curves <- panel$curves
  if (!is.null(panel$draws) && diff(range(panel$draws)) <= 1e-10 * max(abs(panel$draws))) {
    curves[[ref_name]] <- list(x = panel$draws[1L], y = NaN)
  } else if (!is.null(panel$draws)) {
    d <- stats::density(panel$draws, adjust = 1.4, n = 512)
    keep <- d$x >= stats::quantile(panel$draws, 0.001) & d$x <= stats::quantile(panel$draws, 0.999)
    curves[[ref_name]] <- list(x = d$x[keep], y = d$y[keep])
  }
  point <- vapply(curves, function(k) !all(is.finite(k$y)), NA) # certain: no density
  xlim <- grDevices::extendrange(unlist(c(lapply(curves[!point],
    function(k) k$x[k$y > 0.005 * max(k$y)]),
    lapply(curves[point], function(k) k$x[1L]))), f = if (all(point)) 0.05 else 0)
  if (diff(xlim) == 0) xlim <- xlim + c(-1, 1) * max(abs(xlim[1L]), 1) / 20
  ylim <- c(0, 1.04 * max(1e-300, unlist(lapply(curves[!point], `[[`, "y")), if (all(point)) 1))
  graphics::plot(NA, xlim = xlim, ylim = ylim, xlab = name, ylab = "", yaxs = "i")
  graphics::title(ylab = "density", line = 3)
  for (m in rev(names(curves))) {
    draw <- if (point[[m]]) function(k, ...) graphics::abline(v = k$x[1L], ...) else graphics::lines
    draw(curves[[m]], col = method_colours[[m]], lty = method_lines[[m]], lwd = 2)
  }
  names(curves)
}

panel_legend <- function(used) {
  old <- graphics::par(fig = c(0, 1, 0, 1), oma = rep(0, 4), mar = rep(0, 4), new = TRUE)
  on.exit(graphics::par(old))
  graphics::plot(0, 0, type = "n", bty = "n", xaxt = "n", yaxt = "n", xlab = "", ylab = "")
  graphics::legend("top", legend = method_labels[used], col = method_colours[used],
    lty = method_lines[used], lwd = 2, horiz = TRUE, bty = "n")
}
