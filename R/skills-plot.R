# The picture of a ladder.

#' @rdname skills-methods
#' @export
plot.skills_fit <- function(x, what = c("ladder", "posterior", "convergence"), top = 40,
                            reference = NULL, ...) {
  valid_fit(x)
  what <- check_choice(what, c("ladder", "posterior", "convergence"), "what")
  if (what == "posterior") plot_posterior_of(x, reference, ...)
  if (what == "convergence") {
    no_dots(...)
    if (!inherits(x, "target_vb_fit")) {
      mf_abort("engine", "only a fit of fit_vb() has steps that converge: use what = \"ladder\"",
        arg = "what")
    }
    plot_convergence(x)
  }
  if (what == "ladder") {
    no_dots(...)
    plot_ladder(x, reference, check_count(top, "top", 1))
  }
  invisible(x)
}

plot_posterior_of <- function(x, reference, variables = NULL, ...) {
  no_dots(...)
  plot_posterior(x, variables, reference)
}

plot_ladder <- function(x, reference, top) {
  s <- utils::head(standings(x, top = 1), top)
  fits <- list(x)
  if (!is.null(reference)) {
    if (!inherits(reference, "skills_fit")) {
      mf_abort("report", "`reference` must be a fit of the same skills, not ", describe(reference),
        arg = "reference")
    }
    check_same_model(x$model, reference$model)
    fits <- list(x, reference)
  }
  kinds <- vapply(fits, ladder_kind, "")
  rows <- lapply(fits, function(fit) {
    v <- summary_table(fit, 0.5)
    all <- cbind(v[quantile_names(0.5)], summary_table(fit, 0.95)[c("mean", quantile_names(0.95))])
    all[match(s$player, fit$model$players), ]
  })
  draw_ladder(s$player, rows, kinds)
}

# Whose colour it has.
ladder_kind <- function(fit) {
  if (inherits(fit, "target_hmc_fit")) return(chain_kind(fit))
  if (inherits(fit, "target_exact_fit")) return("exact")
  source <- fit$table$source[1L]
  switch(source, lrvb = "lrvb", vb = "mfvb", hmc = "hmc", "refined")
}

draw_ladder <- function(names, rows, kinds) {
  n <- length(names)
  y <- rev(seq_len(n))
  size <- min(1, 24 / n)
  size <- max(size, 0.5)
  old <- graphics::par(mar = c(3.4, 1, if (length(kinds) > 1L) 2 else 1, 0.8), mgp = c(2.2, 0.6, 0),
    las = 1)
  on.exit(graphics::par(old))
  room <- max(graphics::strwidth(names, "inches", cex = size)) + 0.3
  mai <- graphics::par("mai")
  mai[2L] <- min(room, 0.5 * graphics::par("din")[1L])
  graphics::par(mai = mai)
  graphics::plot(NA, xlim = range(unlist(rows)), ylim = c(0.3, n + 0.7), yaxs = "i", yaxt = "n",
    ylab = "", xlab = "skill (50% and 95% intervals)")
  graphics::abline(h = y, col = "grey92")
  graphics::abline(v = 0, col = "grey70", lty = 2)
  graphics::axis(2, y, names, tick = FALSE, cex.axis = size)
  shift <- if (length(kinds) > 1L) c(0.16, -0.16) else 0
  for (k in rev(seq_along(kinds))) draw_rungs(rows[[k]], y + shift[k], method_colours[[kinds[k]]])
  if (length(kinds) > 1L) {
    usr <- graphics::par("usr")
    graphics::legend(mean(usr[1:2]), usr[4L], method_labels[kinds], col = method_colours[kinds],
      lwd = 3, xjust = 0.5, yjust = 0, horiz = TRUE, bty = "n", xpd = NA)
  }
}

draw_rungs <- function(row, y, colour) {
  wide <- row[quantile_names(0.95)]
  narrow <- row[quantile_names(0.5)]
  graphics::segments(wide[[1L]], y, wide[[2L]], y, col = colour, lwd = 1.2)
  graphics::segments(narrow[[1L]], y, narrow[[2L]], y, col = colour, lwd = 3.5)
  graphics::points(row$mean, y, pch = 21, bg = "white", col = colour, cex = 0.9)
}
