# Who sits where: the layout against names, against the core and against what the core made of it.

set.seed(7)
n <- 160
d <- data.frame(x = rnorm(n), s = rnorm(n), g = factor(sample(letters[1:9], n, TRUE)),
  h = factor(sample(LETTERS[1:4], n, TRUE)), k = factor(sample(1:3, n, TRUE)))
d$y <- rnorm(n) + rnorm(9)[d$g]
d$count <- rpois(n, 2)

fit_of <- function(...) suppressWarnings(fit_vb(..., data = d, integrate = "no"))
half_t <- priors(tau_e = half_t_prior(3, 2), tau_u = half_t_prior(4, 2))
fits <- list(
  fit_of(y ~ x), fit_of(y ~ x + (1 + s | g) + (1 | h)), fit_of(y ~ 0 + x + (1 | h) + (1 | k)),
  fit_of(y ~ x + (1 + s | g) + (s || h) + (0 + s | k), prior = half_t),
  fit_of(count ~ x + (1 | g) + (1 | h), family = neg_binomial()),
  fit_of(count ~ x + (1 + s || g), family = poisson(), prior = priors(tau_u = half_t_prior()))
)

# Every effect's name from the names of levels and coefficients, in the order of theta.
names_of <- function(x) {
  paste0("u[", x$name, ":", rep(x$levels, each = length(x$coef)),
    if (!identical(x$coef, "(Intercept)")) paste0(",", x$coef), "]")
}

test_that("effects stand where their names do: other factors, then the leaf", {
  for (fit in fits) {
    m <- fit$model
    own <- lapply(m$factors, names_of)
    expect_identical(u_names(m), as.character(unlist(c(own[-1], own[1]))))
    theta <- c(beta_names(m), u_names(m))
    expect_length(fit$vb$mean, length(theta))
    for (f in seq_along(own)) {
      expect_identical(theta[effect_columns(m, f)], own[[f]])
      code <- rev(seq_along(m$factors[[f]]$levels))
      first <- effect_start(m, list(factor = f, code = code)) + 1
      r <- length(m$factors[[f]]$coef)
      expect_identical(u_names(m)[first], own[[f]][(code - 1) * r + 1])
    }
    for (k in seq_along(m$groups)) {
      t <- m$groups[[k]]
      rows <- effect_rows(m, k + n_lead(m))
      of_factor <- matrix(own[[t$factor]], length(m$factors[[t$factor]]$coef))
      expect_identical(theta[rows], as.vector(of_factor[t$cols, ]))
    }
  }
})

test_that("statistics stand where their names do, an auxiliary where it meets its precision", {
  for (fit in fits) {
    m <- fit$model
    names <- as.character(stat_names(m))
    index <- stat_index(m)
    expect_identical(as.integer(unlist(index)), seq_along(names))
    for (k in seq_along(m$groups)) {
      at <- index[[k + n_lead(m)]]
      expect_identical(names[at], term_stat_names(m$groups[[k]]))
    }
    owner <- precision_of_t(m)
    expect_length(owner, length(fit$vb$t))
    for (a in seq_along(owner)[-seq_along(names)]) { # coupled to diagonals of its precision alone
      expect_identical(unique(owner[which(fit$vb$C[a, seq_along(names)] != 0)]), owner[a])
    }
  }
  aux <- fits[[4]]$model$layout$precisions$aux
  expect_identical(aux, list(8L, 9:10, 11L, 12L, 13L))
})

test_that("the core has the same places, counted from 0", {
  for (fit in fits) {
    core <- lmm_core(fit$model)
    expect_identical(core$n_global + core$n_leaf * core$r, length(fit$vb$mean))
    for (k in seq_along(core$prec)) {
      p <- core$prec[[k]]
      if (k <= n_lead(fit$model)) next
      before <- if (p$leaf) core$n_global else 0
      at <- before + p$first + outer(seq_len(p$r), p$stride * (seq_len(p$n_levels) - 1), "+")
      expect_equal(as.vector(at), effect_rows(core, k))
    }
  }
})

test_that("the core refuses a precision that stands where its factor does not", {
  for (fit in fits[c(4, 5)]) {
    core <- engine_core(fit$model)
    k <- which(fit$model$layout$precisions$factor == 2)[1]
    try_core <- function(name, value) {
      core$prec[[k]][[name]] <- value
      call_fit_vb(core, fit$vb$t, vb_control(max_iter = 2))
    }
    expect_no_error(try_core("factor", 1L))
    for (f in c(-1L, 0L, if (!is.null(core$rows)) 7L)) { # rows tell which factors there are
      expect_error(try_core("factor", f), class = "meanfield_error_internal")
    }
    if (is.null(core$rows)) { # another term of the factor has another stride
      expect_error(try_core("stride", core$prec[[k]]$stride - 1L), class = "meanfield_error_internal")
    }
  }
})

test_that("a layout is not as long as there are effects", {
  big <- data.frame(y = rnorm(9000), g = rep(1:3000, 3))
  fit <- fit_vb(y ~ 1 + (1 | g), big, integrate = "no")
  expect_lt(length(serialize(fit$model$layout, NULL)), 2000)
})

test_that("names of effects are made where they are shown only", {
  fit <- fit_vb(y ~ x + (1 + s | g) + (1 | h), d, integrate = "no")
  sampled <- suppressWarnings(fit_gibbs(fit, iter = 120, warmup = 100, chains = 1))
  own <- effect_labels
  withr::defer(utils::assignInNamespace("effect_labels", own, "meanfield"))
  utils::assignInNamespace("effect_labels", function(...) stop("a name was made"), "meanfield")
  for (f in list(fit, sampled)) {
    expect_no_error(suppressWarnings({
      predict(f, interval = "confidence")
      ranef(f)
      coef(f)
      summary(f)
      vcov(f)
      sigma(f)
    }))
  }
  expect_no_error(sd_ratio_report(fit))
  expect_error(summary(fit, pars = "u"), "a name was made")
})

test_that("a fit whose layout is not its model's is refused", {
  for (part in c("beta", "effects", "precisions", "dim")) {
    fit <- fits[[2]]
    fit$model$layout[[part]] <- rev(fit$model$layout[[part]])
    e <- expect_error(predict(fit), class = "meanfield_error_fit")
    expect_match(conditionMessage(e), "model$layout", fixed = TRUE)
  }
})

test_that("the diagonal of a lower triangle that is read column by column", {
  for (r in 1:5) expect_identical(on_diagonal(r), which(diag(r)[lower.tri(diag(r), TRUE)] == 1))
})
