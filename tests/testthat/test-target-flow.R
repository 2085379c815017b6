# Normalising flows: exact as a map and a density, then what a short training must show. The C tests
# have slopes and scores by differences (tests/c-core/test_flow.c).

test_that("a flow's inverse is its inverse, and its density that of the Jacobian", {
  set.seed(5)
  for (d in c(2L, 3L, 7L)) {
    flow <- random_flow(d)
    e <- matrix(rnorm(d * 40L), d)
    at <- flow_draw(flow, e)
    back <- flow_base(flow, at$z)
    expect_equal(back$e, e, tolerance = 1e-9)
    expect_equal(back$log_q, at$log_q, tolerance = 1e-9)
    expect_identical(flow_log_density(flow, at$z), back$log_q)
    log_det <- vapply(1:5, function(i) {
      h <- diag(1e-5, d)
      J <- (flow_draw(flow, e[, i] + h)$z - flow_draw(flow, e[, i] - h)$z) / 2e-5
      determinant(J)$modulus[1L]
    }, 0)
    expect_equal(at$log_q[1:5], colSums(dnorm(e[, 1:5], log = TRUE)) - log_det, tolerance = 1e-7)
  }
})

test_that("many points go through in blocks as one by one", {
  set.seed(6)
  flow <- random_flow(3L)
  e <- matrix(rnorm(3L * 1100L), 3L)
  all <- flow_draw(flow, e)
  for (i in c(1L, 512L, 513L, 1100L)) {
    one <- flow_draw(flow, e[, i, drop = FALSE])
    expect_equal(all$z[, i], one$z[, 1L], tolerance = 1e-12)
    expect_equal(all$log_q[i], one$log_q, tolerance = 1e-12)
  }
})

test_that("without layers a flow is the Gaussian", {
  L <- matrix(c(2, 1, 0, 0.5), 2L)
  flow <- list(m = c(1, -1), L = L, layers = 0L, hidden = 8L, w = numeric())
  e <- cbind(c(0, 0), c(1, -2))
  at <- flow_draw(flow, e)
  expect_equal(at$z, flow$m + L %*% e)
  expect_equal(at$log_q, colSums(dnorm(e, log = TRUE)))
  fit <- fit_vb(flow_target("banana"), approximation = "flow", refine = "no",
    control = vb_control(layers = 0)) |> suppressWarnings()
  full <- fit_vb(flow_target("banana"), approximation = "fullrank", refine = "no") |>
    suppressWarnings()
  expect_equal(fit$vb$flow[c("m", "L")], full$vb$components[[1L]][c("m", "L")])
  expect_equal(fit$vb$elbo, -0.56066, tolerance = 0.03)
})

test_that("a pushed t distribution has the density of its own points", {
  set.seed(7)
  flow <- random_flow(2L, layers = 2L)
  flow$w <- flow$w / 3
  part <- proposal_component(c(0, 0), diag(2))
  part$flow <- flow
  plain <- proposal_component(flow$m, flow$L)
  points <- component_points(part, 1024L, 1L)
  # of the flow to the t in its place: the mean of the ratio of densities is one
  ratio <- exp(component_log_density(plain, points$z) - component_log_density(part, points$z))
  expect_equal(mean(ratio), 1, tolerance = 0.1)
  part$flow$layers <- 0L
  part$flow$w <- numeric()
  z <- component_points(plain, 16L, 1L)$z
  expect_equal(component_log_density(part, z), component_log_density(plain, z))
  expect_equal(component_points(part, 16L, 1L)$z, z)
})

test_that("of a normal posterior the Gaussian is the answer, to the digit", {
  S <- matrix(c(2, 0.7, 0.7, 1), 2L)
  P <- solve(S)
  normal <- target(function(p) -sum((p$z - 1:2) * (P %*% (p$z - 1:2))) / 2, list(z = c(0, 0)),
    function(p) list(z = -drop(P %*% (p$z - 1:2))))
  fit <- fit_vb(normal, approximation = "flow", refine = "no")
  expect_equal(fit$vb$elbo, log(2 * pi) + log(det(S)) / 2, tolerance = 1e-12)
  expect_identical(fit$vb$flow$layers, 0L)
  expect_match(fit$notes, "normal")
  expect_lt(fit$counts$gradients, 5000)
  expect_equal(summary(fit)$sd, sqrt(diag(S)), tolerance = 0.01)
})

test_that("a short training bends to the banana, the same every time, and touches no generator", {
  set.seed(1)
  before <- .Random.seed
  control <- short_flow(steps = 1500)
  fit <- fit_vb(flow_target("banana"), approximation = "flow", refine = "no", control = control)
  expect_identical(.Random.seed, before)
  expect_true(fit$converged)
  expect_identical(fit$flags, character())
  kl <- flow_kl(fit, "banana")
  expect_lt(kl[["kl"]], 0.02) # .56 of the Gaussian
  expect_gt(kl[["kl"]], -3 * kl[["se"]])
  expect_equal(fit$vb$elbo, -kl[["kl"]], tolerance = 5 * (kl[["se"]] + fit$vb$elbo_error))
  expect_identical(fit$vb$starts$start, c("none", "gaussian"))
  expect_equal(fit$vb$starts$elbo[1L], -0.56066, tolerance = 0.03)
  expect_identical(nrow(fit$vb$trace), 1500L)
  s <- summary(fit)
  expect_identical(unique(s$source), "vb")
  expect_equal(s$mean, c(0, 1), tolerance = 0.1)
  expect_equal(s$sd, c(1, 1.5), tolerance = 0.1)
  again <- fit_vb(flow_target("banana"), approximation = "flow", refine = "no", control = control)
  expect_identical(again$vb$flow, fit$vb$flow)
})

test_that("refinement samples from the flow, and the methods work", {
  fit <- suppressWarnings(fit_vb(flow_target("banana"), approximation = "flow",
    control = short_flow(steps = 1500)))
  s <- summary(fit)
  expect_identical(unique(s$source), "importance")
  expect_true(all(abs(s$mean - c(0, 1)) < 4 * s$mcse_mean))
  expect_true(all(abs(s$sd - c(1, 1.5)) < 4 * s$mcse_sd))
  expect_lt(abs(fit$log_evidence), 4 * fit$evidence_error)
  expect_lt(fit$khat, 0.7)
  expect_match(capture.output(print(fit))[1L], "normalising flow, refined by importance")
  expect_match(capture.output(print(vb_khat(fit))), "flow and Gaussians")
  set.seed(2)
  x <- as_draws(fit, ndraws = 4000)
  expect_equal(cor(x[, "a"]^2, x[, "b"])[1L], sqrt(2) / 1.5, tolerance = 0.05)
  exact <- suppressWarnings(fit_exact(flow_target("banana")))
  expect_s3_class(sd_ratio_report(fit, exact), "sd_ratio_report")
  own <- suppressWarnings(update(fit, refine = "no", control = short_flow(steps = 300)))
  expect_identical(own$control$steps, 300L)
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  for (f in list(fit, own)) {
    expect_silent(plot(f))
    expect_silent(plot(f, what = "convergence"))
  }
  set.seed(3)
  y <- as_draws(own, ndraws = 500)
  expect_gt(cor(y[, "a"]^2, y[, "b"])[1L], 0.4) # draws are of the flow, not of a normal
})

# A fit whose flow was trained from one of the two modes only.
one_sided_run <- function(refine) {
  tgt <- flow_target("bimodal")
  control <- short_flow(layers = 2, steps = 200)
  run <- new_run(tgt, target_settings(tgt, "flow", refine, NULL, NULL, control))
  run <- fullrank_stage(run)
  pilot <- flow_pilot(run)
  starts <- list(list(name = "gaussian", m = c(2, 0), L = diag(c(0.5, 1)), cold = 1))
  trained <- trained_flows(run, pilot, flow_settings(control), starts)
  refine_stage(keep_flow(run, trained[-1L], pilot))
}

test_that("a flow that drops a mode is told of", {
  run <- one_sided_run("no")
  expect_match(run$flags, "leaves out 50% of the posterior.*0[.]69 below the log evidence")
  expect_equal(run$flow_fit$missed, 0.5, tolerance = 0.05)
  expect_equal(run$elbo, -log(2), tolerance = 0.01)
  run <- one_sided_run("auto")
  expect_match(run$flags, "leaves out 50%.*means and SDs are of the importance sample",
    all = FALSE)
  expect_equal(run$table$sd, c(sqrt(4.25), 1), tolerance = 0.02)
  expect_lt(abs(run$log_evidence), 4 * run$evidence_error)
})

test_that("the ELBO's distance from the evidence is told of, as far as it is known", {
  run <- list(elbo = -1, flow_fit = list(error = 0.01, log_evidence = -0.98, evidence_error = 0.01,
    missed = 0), flags = character(), unrefined = TRUE,
    pilot = list(log_evidence = -0.9, evidence_error = 0.01, khat = 0.3))
  expect_equal(flow_gap(run)$nats, 0.1)
  expect_equal(flow_gap(run)$surely, 0.1 - 2 * sqrt(2e-4))
  expect_match(judge_missed(run)$flags, "its ELBO is 0.1 below")
  run$pilot$khat <- 0.9 # not to be relied on
  expect_equal(flow_gap(run)$nats, 0.02)
  expect_identical(judge_missed(run)$flags, character())
  refined <- c(list(log_evidence = -0.3, evidence_error = 0.01, khat = 0), run)
  refined$unrefined <- NULL
  expect_match(judge_missed(refined)$flags, "means and SDs are of the importance sample")
  refined$log_evidence <- -0.6
  expect_identical(judge_missed(refined)$flags, character())
})

test_that("several modes: starts reach all of them", {
  fit <- fit_vb(flow_target("bimodal"), approximation = "flow", refine = "no",
    control = short_flow(layers = 4, steps = 1000))
  expect_identical(fit$vb$starts$start, c("none", "moments"))
  expect_lt(fit$vb$missed, 0.03)
  expect_gt(fit$vb$elbo, -0.2)
  expect_identical(fit$flags, character())
})

test_that("constraints and differences of the density do", {
  y <- c(2.1, 3.4, 1.9, 2.8, 3.1, 2.2, 2.6, 2.9)
  tgt <- target(function(p) sum(dnorm(y, p$mu, p$sigma, log = TRUE)) + dexp(p$sigma, 1, log = TRUE),
    list(mu = 0, sigma = 1), constraints = list(sigma = positive()))
  fit <- fit_vb(tgt, approximation = "flow", refine = "no",
    control = short_flow(steps = 300, draws = 32))
  exact <- fit_exact(tgt)
  expect_equal(summary(fit)$mean, summary(exact)$mean, tolerance = 0.02)
  expect_equal(summary(fit)$sd, summary(exact)$sd, tolerance = 0.05)
  expect_lt(fit$vb$elbo, exact$log_evidence + 4 * fit$vb$elbo_error)
  expect_gt(fit$vb$elbo, exact$log_evidence - 0.02)
})

test_that("a training without density ends, and says so", {
  hole <- target(function(p) ifelse(p$a > 0, -p$a - p$b^2 / 2, -Inf), list(a = 1, b = 0),
    function(p) list(a = rep(-1, length(p$a)), b = -p$b), vectorised = TRUE)
  fit <- suppressWarnings(fit_vb(hole, approximation = "flow", refine = "no",
    control = short_flow(steps = 2000)))
  expect_match(fit$flags, "no number at most of its draws|was no number at", all = FALSE)
  expect_true(is.finite(fit$vb$elbo))
  expect_lt(fit$vb$elbo, log(sqrt(2 * pi)) + 0.05)
})

test_that("what a flow cannot do is refused", {
  one <- target(function(p) -p$a^2 / 2, list(a = 0))
  wide <- target(function(p) -sum(p$z^2) / 2, list(z = numeric(201)))
  two <- flow_target("ring")
  expect_error(fit_vb(one, approximation = "flow"), "fullrank", class = "meanfield_error_control")
  expect_error(fit_vb(wide, approximation = "flow"), "up to 200",
    class = "meanfield_error_control")
  expect_error(fit_vb(two, approximation = "flow", optimiser = "stein"), "adam",
    class = "meanfield_error_control")
  expect_error(fit_vb(two, approximation = "flow", rank = 1), class = "meanfield_error_control")
  expect_error(fit_vb(two, approximation = "flow", control = vb_control(batch_size = 2)),
    class = "meanfield_error_control")
  for (bad in list(list(layers = -1), list(layers = 65), list(hidden = 0), list(starts = 0),
    list(hidden = NA), list(layers = "6"))) {
    expect_error(do.call(vb_control, bad), class = "meanfield_error_control")
  }
})

test_that("six layers: KL below .01, .005, .03, .03", {
  skip_below_level(3)
  limit <- c(banana = 0.01, funnel = 0.005, bimodal = 0.03, ring = 0.03)
  for (name in names(limit)) {
    fit <- fit_vb(flow_target(name), approximation = "flow", refine = "no")
    expect_lt(flow_kl(fit, name)[["kl"]], limit[[name]])
    expect_identical(fit$flags, character())
  }
})

test_that("an unrefined flow that drops modes does not claim their means", {
  far <- target(function(p) {
    parts <- lapply(c(-15, 0, 15), function(m) dnorm(p$a, m, log = TRUE) + dnorm(p$b, log = TRUE))
    top <- do.call(pmax, parts)
    top + log(Reduce(`+`, lapply(parts, function(l) exp(l - top))) / 3)
  }, list(a = 0, b = 0), vectorised = TRUE)
  fit <- suppressWarnings(fit_vb(far, approximation = "flow", refine = "no",
    control = short_flow(steps = 5)))
  expect_match(fit$flags, "leaves out", all = FALSE)
  expect_match(fit$notes, "what the flow reaches", all = FALSE)
  refined <- suppressWarnings(fit_vb(far, approximation = "flow", control = short_flow(steps = 5)))
  expect_match(refined$notes, "all of them together", all = FALSE)
})

test_that("an evidence below the flow's bound is flagged", {
  run <- list(elbo = -0.01, log_evidence = -0.05, evidence_error = 0.005, flags = character(),
    flow_fit = list(error = 0.002))
  expect_match(judge_evidence(run)$flags, "misses part")
  expect_identical(judge_evidence(replace(run, "evidence_error", 0.02))$flags, character())
  expect_identical(judge_evidence(replace(run, "log_evidence", 0))$flags, character())
  expect_identical(judge_evidence(replace(run, "evidence_error", NA_real_))$flags, character())
  expect_identical(judge_evidence(c(run, list(unrefined = TRUE)))$flags, character())
})
