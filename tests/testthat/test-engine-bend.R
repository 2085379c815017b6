# Bent coordinates of integration, and densities in them.

bend_case <- function() {
  d <- lme4_free_data()
  fit <- suppressWarnings(fit_vb(y ~ 1 + (1 | g), d, integrate = "no"))
  core <- engine_core(fit$model)
  list(fit = fit, core = core, centre = vb_centre(core, fit$vb), start = nest_start(fit$posterior$tau))
}
lme4_free_data <- function() {
  set.seed(1)
  data.frame(y = rnorm(40), g = gl(8, 5)) # a variance near zero: a long tail
}

test_that("the map and its inverse are one, and its slope is that of differences", {
  psi <- rbind(seq(-30, 30, length.out = 41), seq(-8, 60, length.out = 41), 7)
  bend <- c(.3, -2, NA)
  v <- bend_from_psi(psi, bend)
  expect_equal(bend_to_psi(v, bend), psi, tolerance = 1e-12)
  expect_equal(v[3, ], psi[3, ])
  u <- -psi[1, ] / 2
  expect_equal(v[1, ] - exp(.3 - v[1, ]), u, tolerance = 1e-10)
  e <- 1e-6
  mid <- 15:30
  slope <- (bend_to_psi(v[, mid] + e, bend) - bend_to_psi(v[, mid] - e, bend)) / (2 * e)
  expect_equal(abs(slope), bend_slope(v[, mid], bend), tolerance = 1e-6)
  expect_identical(bend_to_psi(psi, NULL), psi)
})

test_that("a density of v is that of psi times the slope", {
  x <- bend_case()
  bend <- gaussian_target(x$core, x$centre)$bends(x$start$mean)
  psi <- x$start$mean + cbind(c(0, 0), c(.5, 3), c(-1, 8))
  v <- bend_from_psi(psi, bend)
  expect_equal(call_nest_log_density(x$core, x$centre, v, bend),
    call_nest_log_density(x$core, x$centre, psi) + colSums(log(bend_slope(v, bend))),
    tolerance = 1e-12)
})

test_that("lattices with and without bends have one evidence and one posterior", {
  x <- bend_case()
  settings <- nest_settings("exact", tol = 1e-5)
  bent <- gaussian_target(x$core, x$centre)
  straight <- bent
  straight$bends <- function(psi) NA_real_ * psi
  a <- integrate_precisions(bent, x$start, settings)
  b <- integrate_precisions(straight, x$start, settings)
  expect_equal(a$log_evidence, b$log_evidence, tolerance = 1e-7)
  ma <- weighted_moments(bent$tails(a$psi), a$weights)
  mb <- weighted_moments(bent$tails(b$psi), b$weights)
  expect_equal(ma, mb, tolerance = 1e-5)
  # far fewer points do at the step of the default
  quick <- nest_settings("quick")
  expect_lt(integrate_precisions(bent, x$start, quick)$points,
    integrate_precisions(straight, x$start, quick)$points)
})

test_that("a finer lattice has the density between the points", {
  x <- bend_case()
  nodes <- integrate_precisions(gaussian_target(x$core, x$centre), x$start, nest_settings("quick"))
  nodes$stats <- psi_statistics(nodes$psi, stat_index(x$fit$model))
  fine <- finer_nodes(x$fit$model, nodes)
  expect_gt(ncol(fine$psi), 2.5 * ncol(nodes$psi))
  v <- bend_from_psi(fine$psi, nodes$bend)
  true <- call_nest_log_density(x$core, x$centre, v, nodes$bend)
  off <- log(fine$weights) - true
  off <- off - sum(fine$weights * off)
  expect_lt(sqrt(sum(fine$weights * off^2)), .02)
  m <- weighted_moments(fine$psi, fine$weights)
  expect_equal(m, weighted_moments(nodes$psi, nodes$weights), tolerance = 5e-3)
  cells <- finer_cells(x$fit$model, nodes)
  heavy <- which(cells$weights > 1e-3)
  e <- 1e-4
  for (j in 1:2) {
    up <- call_nest_log_density(x$core, x$centre, v[, heavy] + e * cells$L[, j], nodes$bend)
    down <- call_nest_log_density(x$core, x$centre, v[, heavy] - e * cells$L[, j], nodes$bend)
    expect_lt(max(abs(cells$gradient[j, heavy] - (up - down) / (2 * e))), .15)
  }
  near <- colSums((solve(nodes$L) %*% (bend_from_psi(nodes$psi, nodes$bend)[, cells$origin] - v))^2)
  expect_lt(max(near[heavy]), 2 * (.51 * nodes$step)^2)
})
