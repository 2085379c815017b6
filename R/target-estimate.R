# The table of a fit's variables, a row each: on their own scale and on that of their links, from
# whichever points the fit ended with.
#   mean, sd, mcse_mean, mcse_sd, khat  what is reported
#   loc, spread                         mean and SD on the link's scale, where quantiles are made
#   mean_mfvb, sd_mfvb, loc_mfvb, spread_mfvb    of the Gaussian fit before refinement
#   sd_lrvb, spread_lrvb                of its linear response, NA without

# list(all): values of the variables at points, and those with a positive link again as logarithms;
# coordinate: of a row that is exp() of one coordinate, which; place: the row on the link's scale;
# own, value: of a row that is a function of one coordinate, which, and its value.
linked_values <- function(target) {
  table <- variable_table(target)
  logged <- which(table$link == "exp")
  n <- nrow(table)
  place <- replace(seq_len(n), logged, n + seq_along(logged))
  own <- ifelse(table$kind == "parameter" & table$link %in% c("exp", "identity"),
    match(table$variable, unconstrained_names(target)), NA)
  list(
    n = n, place = place,
    coordinate = c(ifelse(table$link == "exp", own, NA), rep(NA, length(logged))),
    own = c(own, rep(NA, length(logged))),
    value = function(j, z) if (j <= n && table$link[j] == "exp") exp(z[own[j]]) else z[own[j]],
    all = function(Z) {
      x <- target_values(target, Z)
      rbind(x, suppressWarnings(log(x[logged, , drop = FALSE])))
    }
  )
}

# Moments of the variables under a normal distribution, from fixed points: list(mean, sd) of all
# rows of linked_values().
normal_moments <- function(linked, z, weights = rep(1 / ncol(z), ncol(z))) {
  weighted_rows(linked$all(z), weights)
}

# Weighted mean and SD of rows; a row with a value that is not finite where there is weight has
# none.
weighted_rows <- function(x, weights) {
  use <- weights > 0
  x <- x[, use, drop = FALSE]
  w <- weights[use] / sum(weights[use])
  own <- weighted_moments(x, w)
  fixed <- is_constant(t(x))
  list(mean = ifelse(fixed, x[, 1L], own$mean), sd = ifelse(fixed, 0, own$sd))
}

# own: list(mean, sd, mcse_mean, mcse_sd, khat) of all rows of linked_values(), what is reported.
variable_estimates <- function(linked, own, mfvb, lrvb, source) {
  first <- seq_len(linked$n)
  none <- rep(NA_real_, linked$n)
  pick <- function(x, at) if (is.null(x)) none else unname(x)[at]
  number <- function(x) ifelse(is.finite(x), x, NA_real_) # one that overflows is not known
  out <- data.frame(
    mean = pick(own$mean, first), sd = pick(own$sd, first), source = rep(source, linked$n),
    mcse_mean = pick(own$mcse_mean, first), mcse_sd = pick(own$mcse_sd, first),
    khat = pick(own$khat, first), tail = pick(own$tail, first), loc = pick(own$mean, linked$place),
    spread = pick(own$sd, linked$place), mean_mfvb = pick(mfvb$mean, first),
    sd_mfvb = pick(mfvb$sd, first), loc_mfvb = pick(mfvb$mean, linked$place),
    spread_mfvb = pick(mfvb$sd, linked$place), mean_lrvb = pick(lrvb$mean, first),
    sd_lrvb = pick(lrvb$sd, first), spread_lrvb = pick(lrvb$sd, linked$place)
  )
  moments <- setdiff(names(out), c("source", "khat", "tail"))
  out[moments] <- lapply(out[moments], number)
  out
}

# Columns that do not vary beyond rounding.
is_constant <- function(f) {
  low <- apply(f, 2L, min)
  high <- apply(f, 2L, max)
  is.finite(high - low) & high - low <= 1e-10 * pmax(abs(low), abs(high))
}
