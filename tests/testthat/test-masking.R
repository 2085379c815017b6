# Names that other packages have too: each works on our fits and on theirs, in whatever order the
# packages are attached.

# The code in a new process after attaching the packages in this order; its output lines.
in_order <- function(packages, code) {
  for (p in setdiff(packages, "meanfield")) skip_if_not_installed(p)
  script <- withr::local_tempfile(fileext = ".R")
  attach <- sprintf("suppressWarnings(suppressMessages(library(%s, warn.conflicts = FALSE)))", packages)
  writeLines(c(attach, "data(sleepstudy, package = 'lme4')",
    "f <- meanfield::fit_vb(Reaction ~ Days + (Days | Subject), sleepstudy)",
    "m <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy)", code, "cat('done\\n')"), script)
  out <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"), shQuote(script), stdout = TRUE,
    stderr = TRUE, env = paste0("R_LIBS=", paste(.libPaths(), collapse = ":"))))
  if (!identical(tail(out, 1), "done")) fail(paste(c(toString(packages), out), collapse = "\n"))
  succeed()
  invisible(out)
}

shared <- "
stopifnot(
  length(fixef(f)) == 2, length(fixef(m)) == 2,
  nrow(ranef(f)$Subject) == 18, nrow(ranef(m)$Subject) == 18,
  is.finite(attr(VarCorr(f), 'sc')), is.finite(attr(VarCorr(m), 'sc')),
  is.finite(sigma(f)), is.finite(sigma(m)), ngrps(f) == 18, ngrps(m) == 18,
  !isSingular(f), !isSingular(m)
)
flat <- meanfield::fit_vb(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
stopifnot(isSingular(flat), is.data.frame(prior_summary(f)))
h <- hypothesis(f, 'Days > 0')
stopifnot(h$prob > .99, posterior::ndraws(as_draws(f, ndraws = 10)) == 10)
"

shares <- "
set.seed(1)
a <- meanfield::icc(f)$mean[1]
b <- as.data.frame(icc(f))
stopifnot(abs(a - (if (is.null(b$mean)) b$ICC_adjusted else b$mean[1])) < .02)
stopifnot(nrow(r2(f)) == 2, r2(f)$mean < 1)
i <- icc(m)$ICC_adjusted
stopifnot(i > 0, i < 1, r2(m)$R2_marginal < 1)
"

test_that("lme4 and nlme", {
  skip_on_cran()
  in_order(c("meanfield", "lme4"), shared)
  in_order(c("lme4", "meanfield"), shared)
  skip_if_not_installed("lme4")
  in_order(c("meanfield", "nlme"), c("fit <- lme(distance ~ age, Orthodont, ~ 1 | Subject)",
    "stopifnot(length(fixef(fit)) == 2, length(fixef(f)) == 2)"))
})

test_that("performance", {
  skip_on_cran()
  skip_if_not_installed("lme4")
  in_order(c("meanfield", "performance"), shares)
  in_order(c("performance", "meanfield"), shares)
  in_order("meanfield", shares) # not attached, but installed
})

test_that("everything at once", {
  skip_on_cran()
  all <- c("rstanarm", "loo", "nlme", "performance", "lme4")
  code <- c(shared, shares, "stopifnot(inherits(suppressWarnings(loo(f)), 'psis_loo'))",
    "e <- tryCatch(prior_summary(m), error = conditionMessage)", # no endless recursion
    "stopifnot(is.character(e), !grepl('stack|recurs|nested', e))")
  in_order(c("meanfield", all), code)
  in_order(c(all, "meanfield"), code)
})

test_that("brms", {
  skip_on_cran()
  skip_if_not_installed("lme4")
  in_order(c("meanfield", "brms"), shared)
  in_order(c("brms", "meanfield"), shared)
})

test_that("getME has what lme4's functions ask for", {
  skip_if_not_installed("lme4")
  d <- small_data()
  d$h <- factor(rep(1:4, 15))
  f <- fit_vb(y ~ x + (x | g) + (1 | h), d, prior = priors(tau_u = half_t_prior(4, 2)), integrate = "no")
  m <- suppressMessages(lme4::lmer(y ~ x + (x | g) + (1 | h), d))
  same <- c("X", "y", "n", "p", "q", "n_rtrms", "n_rfacs", "lower")
  for (name in same) {
    expect_equal(unname(lme4::getME(f, name)), unname(lme4::getME(m, name)), ignore_attr = TRUE)
  }
  expect_named(lme4::getME(f, "theta"), names(lme4::getME(m, "theta")))
  expect_equal(lme4::getME(f, "l_i")[c("g", "h")], c(g = 7, h = 4))
  expect_equal(lme4::getME(f, "flist")$h, d$h)
  expect_equal(lme4::getME(f, c("beta", "sigma")), list(beta = unname(fixef(f)), sigma = sigma(f)))
  # theta is the Cholesky factor of the covariance over the residual variance
  d$z <- d$x - 3
  d$v <- d$y + c(-6, 4, -2, 6, 0, 2, -4)[d$g] + as.integer(d$g) * d$z
  clear <- fit_vb(v ~ z + (z | g), d)
  expect_false(isSingular(clear))
  L <- matrix(0, 2, 2)
  L[lower.tri(L, diag = TRUE)] <- lme4::getME(clear, "theta")
  expect_equal(tcrossprod(L) * sigma(clear)^2, unname(VarCorr(clear)$g[, ]))
  expect_error(lme4::getME(f, "Zt"), class = "meanfield_error_control")
  expect_identical(lme4::isSingular(f), c(isSingular(f)))
})
