# The check of a gradient that a user supplies, and RTMB's tape of a log density.

# ---- the check of a supplied gradient ------------------------------------------------------------

CHECKED_COORDINATES <- 20L
# At the start and at a point near it, along coordinates and one direction: an error names the first
# that disagrees.
check_gradient <- function(target, ev) {
  for (z in list(target$init, perturbed(target, ev))) {
    at <- ev(z)
    g <- drop(at$gradient)
    if (!all(is.finite(g))) {
      mf_abort("gradient", "`gradient` of `", target$names[!is.finite(g)][1L], "` is ",
        format(g[!is.finite(g)][1L]), " at ", point_text(target, z), arg = "gradient")
    }
    V <- check_directions(target$d)
    off <- disagreement(z, at$lp, drop(g %*% V), V, ev)
    if (!is.null(off)) refuse_gradient(target, off, V, z)
  }
}

refuse_gradient <- function(target, off, V, z) {
  moved <- which(V[, off$at] != 0)
  one <- length(moved) == 1L
  what <- if (one) paste0("`", target$names[moved], "`") else "all parameters together"
  scale <- if (target$free) "" else " (on the unconstrained scale)"
  mf_abort("gradient", "`gradient` disagrees with `log_density`: by ", what, scale, " it is ",
    format(off$gradient, digits = 6), ", and differences of `log_density` give ",
    format(off$difference, digits = 6), " at ", point_text(target, z),
    ": mend it, or leave `gradient` out", arg = "gradient")
}

# A few parameters of a point, for messages.
point_text <- function(target, z) {
  values <- target_values(parameters_only(target), z)
  shown <- utils::head(values[, 1L], 4L)
  text <- paste(names(shown), "=", vapply(shown, format, "", digits = 4), collapse = ", ")
  paste0(text, if (length(values) > 4L) ", ...")
}

parameters_only <- function(target) {
  if (is.null(target$foreign)) {
    target$variables <- target$variables[target$variables$kind == "parameter", ]
  }
  target
}

# Near the start, and with a density.
perturbed <- function(target, ev) {
  e <- stats::qnorm(drop(quasi_random(1L, target$d)))
  for (size in c(0.3, 0.1, 0.01, 1e-3)) {
    z <- target$init + size * e
    if (is.finite(ev(z, FALSE)$lp)) return(z)
  }
  target$init
}

# Coordinates, and one direction that moves all: columns.
check_directions <- function(d) {
  own <- unique(round(seq(1, d, length.out = min(d, CHECKED_COORDINATES))))
  V <- matrix(0, d, length(own))
  V[cbind(own, seq_along(own))] <- 1
  e <- stats::qnorm(drop(quasi_random(7L, d)[7L, ]))
  if (d > 1L) cbind(V, e / sqrt(sum(e^2))) else V
}

# NULL, or list(at, gradient, difference) of the worst direction. One step size that agrees will do:
# a right gradient may need another than the usual one, a wrong one agrees with none.
disagreement <- function(z, lp, slope, V, ev) {
  open <- seq_along(slope)
  size <- max(1, abs(z))
  best <- rep(Inf, length(slope))
  difference <- rep(NA_real_, length(slope))
  for (h in c(1e-4, 1e-3, 1e-5, 1e-6, 1e-2, 1e-7) * size) {
    D <- directional_differences(z, V[, open, drop = FALSE], h, ev)
    allowed <- 1e-4 * pmax(abs(D), abs(slope[open])) +
      100 * .Machine$double.eps * max(1, abs(lp)) / h
    off <- abs(D - slope[open]) / allowed
    better <- which(off < best[open])
    difference[open[better]] <- D[better]
    best[open[better]] <- off[better]
    open <- which(!(best <= 1))
    if (!length(open)) return(NULL)
  }
  at <- open[1L]
  list(at = at, gradient = slope[at], difference = difference[at])
}

# Richardson's extrapolation of central differences.
directional_differences <- function(z, V, h, ev) {
  f <- matrix(ev(cbind(z + h * V, z - h * V, z + h / 2 * V, z - h / 2 * V), FALSE)$lp, ncol(V))
  wide <- (f[, 1L] - f[, 2L]) / (2 * h)
  narrow <- (f[, 3L] - f[, 4L]) / h
  narrow + (narrow - wide) / 3
}

# ---- RTMB ----------------------------------------------------------------------------------------

# The gradient of a taped log density, as a function of the named list (and the data); NULL where
# RTMB is not installed or cannot tape it.
taped_gradient <- function(target) {
  user <- target$user
  taped <- !user$vectorised && is.null(target$rows) && requireNamespace("RTMB", quietly = TRUE)
  if (!taped) return(NULL)
  skeleton <- target$skeleton
  x <- unlist(constrain_list(target, target$init), use.names = FALSE)
  f <- function(x) with_data(overloaded(user$log_density), user)(shaped_as(x, skeleton))
  tape <- tryCatch(suppressWarnings(RTMB::MakeTape(f, x)), error = function(e) NULL)
  if (is.null(tape)) return(NULL)
  function(p, ...) shaped_as(drop(tape$jacobian(unlist(p, use.names = FALSE))), skeleton)
}

# The user's function with RTMB's dnorm(), rowSums() and others in sight, where it would find R's
# own. To be called while a tape is made: ADoverload() gives R's own at other times.
overloaded <- function(f) {
  if (is.primitive(f)) return(f)
  own <- list(c = RTMB::ADoverload("c"), `[<-` = RTMB::ADoverload("[<-"),
    `diag<-` = RTMB::ADoverload("diag<-"))
  exported <- setdiff(getNamespaceExports("RTMB"), names(own))
  own <- c(own, mget(exported, asNamespace("RTMB"), inherits = TRUE))
  ours <- function(name) {
    found <- get0(name, environment(f), mode = "any")
    is.function(found) && (is.primitive(found) ||
      environmentName(environment(found)) %in% c("base", "stats", "methods"))
  }
  own <- own[vapply(names(own), ours, NA)]
  environment(f) <- list2env(own, parent = environment(f))
  f
}
