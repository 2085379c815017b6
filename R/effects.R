# Names and order of coefficients and random effects.

beta_names <- function(model) {
  if (length(model$x_names)) paste0("beta[", model$x_names, "]") else character()
}

# One row per random effect in the order of the core (the global factors, then the leaf,
# coefficients within levels): factor (index), group, level, coef, name.
effect_table <- function(model) {
  order <- c(seq_along(model$factors)[-1L], if (length(model$factors)) 1L)
  rows <- lapply(order, function(f) {
    x <- model$factors[[f]]
    r <- length(x$coef)
    level <- rep(x$levels, each = r)
    coef <- rep(x$coef, length(x$levels))
    plain <- r == 1L && x$coef == "(Intercept)"
    data.frame(factor = f, group = x$name, level = level, coef = coef,
      name = paste0("u[", x$name, ":", level, if (!plain) paste0(",", coef), "]"))
  })
  if (!length(rows)) {
    return(data.frame(factor = integer(), group = character(), level = character(),
      coef = character(), name = character()))
  }
  do.call(rbind, rows)
}

u_names <- function(model) effect_table(model)$name
