# Fits of skills against exact numbers, long runs and brute force.

normal_of_fit <- function(fit) {
  part <- fit$vb$components[[1L]]
  S <- if (is.null(part$L)) diag(part$sd^2) else tcrossprod(part$L)
  list(mean = part$m, sd = sqrt(diag(S)), cor = cov2cor(S)[1, 2], elbo = fit$vb$elbo)
}

test_that("two players: the exact posterior to its digits", {
  for (i in seq_len(nrow(duels))) {
    e <- duels[i, ]
    fit <- fit_exact(duel_model(e$a, e$b))
    s <- as.data.frame(summary(fit))
    h <- head_to_head(fit)
    got <- c(s$mean, s$sd, cov2cor(vcov(fit))[1, 2], fit$log_evidence, h$p_better["A", "B"],
      h$p_win["A", "B"])
    want <- c(e$mean, -e$mean, e$sd, e$sd, e$cor, e$evidence, e$better, e$win)
    expect_lte(max(abs(got - want)), 1e-7)
  }
})

test_that("two players: both links and other priors, against integrate()", {
  for (link in c("logit", "probit")) for (sd in c(0.3, 5)) {
    p <- if (link == "logit") plogis else pnorm
    f <- function(d) p(d)^4 * p(-d)^2 * dnorm(d, 0, sqrt(2) * sd)
    integral <- function(g, from = -Inf) {
      integrate(function(d) g(d) * f(d), from, Inf, rel.tol = 1e-11, subdivisions = 2000L)$value
    }
    z <- integral(function(d) 1)
    mean <- integral(identity) / z
    var <- integral(function(d) (d - mean)^2) / z
    fit <- fit_exact(duel_model(4, 2, prior_sd = sd, link = link))
    s <- as.data.frame(summary(fit))
    expect_equal(fit$log_evidence, log(z), tolerance = 1e-9)
    expect_equal(s$mean[1], mean / 2, tolerance = 1e-8)
    expect_equal(s$sd[1], sqrt((2 * sd^2 + var) / 4), tolerance = 1e-8)
    expect_equal(head_to_head(fit)$p_better["A", "B"], integral(function(d) 1, 0) / z,
      tolerance = 1e-8)
  }
  q <- as.data.frame(summary(fit_exact(duel_model(1e6, 5e5)))) # normal to every digit
  expect_equal(q$q97.5, q$mean + 1.96 * q$sd, tolerance = 3e-3)
})

test_that("the two optima of duels to the digits of the table", {
  for (i in seq_len(nrow(duels))) {
    e <- duels[i, ]
    model <- duel_model(e$a, e$b)
    full <- normal_of_fit(fit_vb(model, refine = "no"))
    expect_lte(max(abs(c(full$mean[1], full$sd[1], full$cor, full$elbo) -
      c(e$full_mean, e$full_sd, e$full_cor, e$full_elbo))), 6e-6)
    mf <- normal_of_fit(suppressWarnings(fit_vb(model, approximation = "meanfield")))
    expect_lte(max(abs(c(mf$mean[1], mf$sd[1], mf$elbo) - c(e$mf_mean, e$mf_sd, e$mf_elbo))), 6e-6)
  }
})

# Means within .02 SD, SDs within 2% of the truth; the optima to the five digits that are kept.
expect_truth <- function(model, name, evidence, error, full_elbo, mf_elbo) {
  t <- skills_truth(name, model$players)
  fit <- fit_vb(model)
  s <- as.data.frame(summary(fit))
  plain <- normal_of_fit(fit_vb(model, refine = "no"))
  expect_length(fit$flags, 0)
  expect_lte(max(abs(s$mean - t$mean) / t$sd), 0.02)
  expect_lte(max(abs(s$sd / t$sd - 1)), 0.02)
  expect_lte(max(abs(plain$mean - t$mean) / t$sd), 0.02)
  expect_lte(max(abs(plain$sd / t$sd - 1)), 0.02)
  expect_lte(abs(fit$log_evidence - evidence), 4 * sqrt(fit$evidence_error^2 + error^2))
  expect_lte(max(abs(plain$mean - t$mean_full)), 5.1e-5)
  expect_lte(max(abs(plain$sd / t$sd_full - 1)), 2e-5)
  expect_lte(abs(plain$elbo - full_elbo), 6e-5)
  mf <- fit_vb(model, approximation = "meanfield")
  own <- normal_of_fit(mf)
  expect_lte(max(abs(own$mean - t$mean_mf)), 5.1e-5)
  expect_lte(max(abs(own$sd / t$sd_mf - 1)), 3e-5)
  expect_lte(abs(own$elbo - mf_elbo), 6e-5)
  expect_lte(max(abs(mf$table$sd / t$sd - 1)), 0.02) # linear response gives the level back
  p <- standings(fit)
  best <- t$p_best[match(p$player, t$player)]
  expect_lte(max(abs(p$p_best - best)), 0.025)
  range(own$sd / t$sd)
}

test_that("baseball", {
  ratio <- expect_truth(baseball_model(), "baseball", -182.2152, 0.0008, -182.2177, -183.2262)
  expect_equal(ratio, c(0.539, 0.591), tolerance = 2e-3)
  fit <- fit_vb(baseball_model())
  expect_lte(abs(cov2cor(vcov(fit))["skill[Milwaukee]", "skill[Detroit]"] - 0.744), 0.015)
  z <- skill_points(fit) # better known
  expect_lte(abs(cov.wt(t(z$z), z$weights, cor = TRUE)$cor[5, 4] - 0.744), 2e-3)
  r <- sd_ratio_report(fit_vb(baseball_model(), approximation = "meanfield"), fit_exact(fit))
  expect_equal(median(r$table$ratio_mfvb), 0.544, tolerance = 5e-3)
  expect_true(all(r$table$verdict == "repaired"))
})

test_that("58 ice hockey teams", {
  skip_below_level(2)
  ratio <- expect_truth(hockey_model(), "icehockey", -636.3401, 0.0027, -636.3739, -638.2631)
  expect_equal(ratio, c(0.870, 0.935), tolerance = 3e-3)
})

test_that("77 lizards", {
  ratio <- expect_truth(lizard_model(), "flatlizards", -56.8024, 0.0032, -56.8671, -57.4591)
  expect_equal(ratio, c(0.960, 0.999), tolerance = 3e-3)
})

test_that("gradients, blocks and optima of all models", {
  for (link in c("logit", "probit")) {
    d <- tied_league(4, link)
    for (ties in c(FALSE, TRUE)) for (home in c(FALSE, TRUE)) {
      model <- league_model(d, link, ties, home)
      expect_silent(check_gradient(model, evaluator(model)))
      expect_silent(check_block(model))
      # at an optimum of the bound L' E[score] = 0 and L' E[score e'] = -1: of all, or of the
      # diagonal of a factorised one; expectations over points, which the optimum has not seen
      for (approximation in c("fullrank", "meanfield")) {
        q <- gaussian_optimum(model, approximation)
        L <- component_factor(q)
        E <- shifted_points(20000L, model$d, 5L, match = TRUE)
        at <- evaluator(model)(q$m + L %*% E)
        score <- crossprod(L, at$gradient)
        expect_lte(max(abs(rowMeans(score))), 2e-3)
        curvature <- tcrossprod(score, E) / ncol(E) + diag(model$d)
        if (approximation == "meanfield") curvature <- diag(curvature)
        expect_lte(max(abs(curvature)), 5e-3)
        entropy <- model$d / 2 * (1 + log(2 * pi)) + sum(log(diag(L)))
        expect_lte(abs(mean(at$lp) + entropy - q$elbo), 2e-3)
      }
    }
  }
})

test_that("linear response in closed form is that by points", {
  for (link in c("logit", "probit")) {
    model <- league_model(tied_league(4, link), link, FALSE, TRUE)
    ev <- evaluator(model)
    full <- gaussian_optimum(model, "fullrank")
    by_points <- gaussian_response(ev, full, n_points = 40000L)$cov
    own <- tcrossprod(full$response)
    lift <- own - tcrossprod(full$L)
    expect_gt(max(lift), 2e-3)
    expect_lte(max(abs(own - by_points)), 0.1 * max(lift))
  }
})

test_that("linear response of the factorised optimum is that of differences of the bound", {
  for (link in c("logit", "probit")) {
    model <- league_model(tied_league(3, link), link, FALSE, TRUE)
    own <- gaussian_optimum(model, "meanfield")
    at <- seq_len(model$d)
    bound <- function(x) optimum_at(model, x[at], diag(1 / x[-at]), FALSE)$elbo
    x <- c(own$m, own$sd^2)
    h <- 1e-3
    unit <- diag(h, length(x))
    F2 <- outer(seq_along(x), seq_along(x), Vectorize(function(i, j) {
      -(bound(x + unit[i, ] + unit[j, ]) - bound(x + unit[i, ] - unit[j, ]) -
        bound(x - unit[i, ] + unit[j, ]) + bound(x - unit[i, ] - unit[j, ])) / (4 * h^2)
    }))
    expect_lte(max(abs(tcrossprod(own$response) - solve(F2)[at, at])), 1e-5)
  }
})

test_that("points of an importance sample have the covariance of the posterior", {
  z <- skill_points(fit_vb(duel_model(10, 0)))
  cor <- cov.wt(t(z$z), z$weights, cor = TRUE)$cor[1, 2]
  expect_lte(abs(cor - duels$cor[3]), 0.006) # of the normal fit it is .0244 off
})

test_that("the log density is what it says", {
  d <- data.frame(w = c("a", "b", "c"), l = c("b", "c", "a"), wins = c(2, 0, 1), ties = c(1, 3, 0),
    home = c("a", NA, "a"))
  z <- c(a = 0.3, b = -0.2, c = 1.1)
  gap <- c(z[["a"]] - z[["b"]] + 0.25, z[["b"]] - z[["c"]], z[["c"]] - z[["a"]] - 0.25)
  prior <- sum(dnorm(z, 0, 2, log = TRUE)) + dnorm(0.25, log = TRUE)
  p <- list(skill = z, home = 0.25, tie = 0.7)
  at <- function(link) {
    model <- league_model(d, link, TRUE, TRUE, prior_sd = 2)
    skills_log_density(p, model$user$data)
  }
  lambda <- exp(gap)
  win <- lambda / (lambda + 1 + 0.7 * sqrt(lambda)) # Davidson's own words
  tie <- 0.7 * sqrt(lambda) / (lambda + 1 + 0.7 * sqrt(lambda))
  want <- sum(d$wins * log(win) + d$ties * log(tie)) + prior + dlnorm(0.7, 0, 1, log = TRUE)
  expect_equal(at("logit"), want, tolerance = 1e-12)
  want <- sum(d$wins * pnorm(gap - 0.7, log.p = TRUE) + d$ties * log(pnorm(0.7 - gap) -
    pnorm(-0.7 - gap))) + prior + dlnorm(0.7, log(qnorm(2 / 3)), 1, log = TRUE)
  expect_equal(at("probit"), want, tolerance = 1e-12)
})

test_that("home advantage and ties: the lattice, importance sampling and chains agree", {
  for (link in if (test_level() >= 2) c("logit", "probit") else "probit") {
    model <- league_model(tied_league(3, link), link, TRUE, TRUE)
    fit <- fit_vb(model)
    exact <- suppressWarnings(fit_exact(fit)) # known to 1e-3 SDs
    expect_s3_class(exact, c("skills_fit", "target_exact_fit"), exact = FALSE)
    a <- as.data.frame(summary(exact))
    b <- as.data.frame(summary(fit))
    expect_lte(max(abs(a$mean - b$mean) / a$sd), 0.01)
    expect_lte(max(abs(a$sd / b$sd - 1)), 0.01)
    expect_lte(abs(exact$log_evidence - fit$log_evidence), 0.02)
    set.seed(2)
    chains <- suppressWarnings(fit_hmc(fit, chains = 4, iter = 900, warmup = 300))
    s <- as.data.frame(summary(chains))
    expect_lte(max(abs(s$mean - a$mean) / (a$sd / sqrt(s$ess_bulk))), 4.5)
  }
})

test_that("Gibbs sampling is that of the same posterior", {
  t <- skills_truth("baseball", baseball_model()$players)
  set.seed(1)
  for (sampler in c("hamiltonian", "polya-gamma")) {
    fit <- fit_gibbs(baseball_model(), chains = 2, iter = 1500, warmup = 300, sampler = sampler)
    s <- as.data.frame(summary(fit))
    expect_lte(max(abs(s$mean - t$mean) / (t$sd / sqrt(s$ess_bulk))), 4.5)
    expect_lte(max(abs(s$sd / t$sd - 1)), 0.12)
    expect_output(print(fit), "Gibbs sampler")
  }
  set.seed(1)
  again <- fit_gibbs(fit, chains = 1, iter = 300, warmup = 100)
  set.seed(1)
  expect_identical(again$draws, fit_gibbs(fit$model, chains = 1, iter = 300, warmup = 100)$draws)
  home <- fit_gibbs(baseball_model(home = home), chains = 2, iter = 1500, warmup = 300)
  want <- as.data.frame(summary(fit_vb(home)))
  expect_lte(max(abs(as.data.frame(summary(home))$mean - want$mean) / want$sd), 0.2)
  # pairs that never met know their prior only
  alone <- skills(c("A", "C"), c("B", "D"), c(3, 0))
  s <- as.data.frame(summary(fit_gibbs(alone, chains = 2, iter = 2500)))
  expect_lte(max(abs(s$sd[3:4] - 1)), 0.1)
  for (model in list(duel_model(1, 0, link = "probit"), duel_model(1, 0, ties = 1))) {
    expect_error(fit_gibbs(model), "fit_hmc", class = "meanfield_error_engine")
  }
})

test_that("the level of the skills keeps its prior, and rows may be gathered or not", {
  fit <- fit_vb(baseball_model(), refine = "no")
  L <- fit$vb$components[[1]]$L
  expect_equal(sum(tcrossprod(L)), 7, tolerance = 1e-9) # Var(sum z) = k
  one <- al_east[rep(seq_len(nrow(al_east)), al_east$wins), ]
  shuffled <- one[order(cos(seq_len(nrow(one)))), ]
  again <- skills(winner, loser, data = shuffled)
  expect_equal(again$user$data$pairs, baseball_model()$user$data$pairs)
  named <- skills("winner", "loser", "wins", transform(al_east, winner = as.character(winner),
    loser = as.character(loser)))
  expect_equal(named$user$data, baseball_model()$user$data)
})

test_that("extremes", {
  wide <- fit_exact(duel_model(3, 0, prior_sd = 100)) # a half-normal difference
  sigma <- sqrt(2) * 100
  expect_equal(as.data.frame(summary(wide))$mean[1], sigma * sqrt(2 / pi) / 2, tolerance = 0.02)
  sure <- fit_vb(skills("A", "B", wins = 1e6), refine = "no")
  exact <- fit_exact(sure)
  expect_equal(sure$table$mean_mfvb, exact$table$mean, tolerance = 2e-3)
  narrow <- fit_vb(baseball_model(prior_sd = 1e-3), refine = "no")
  expect_equal(narrow$table$sd, rep(1e-3, 7), tolerance = 1e-4)
  apart <- fit_vb(skills(c("A", "C"), c("B", "D")), refine = "no")
  expect_equal(apart$table$mean, duels$full_mean[1] * c(1, -1, 1, -1), tolerance = 1e-5)
  odd <- c("a,b", "c]d", "\u00e9\u4e2d", " x ", "NA", "skill[1]")
  strange <- fit_vb(skills(odd[-6], odd[-1]), refine = "no")
  expect_setequal(standings(strange)$player, odd)
  expect_setequal(as.data.frame(summary(strange))$variable, paste0("skill[", odd, "]"))
})

test_that("a thousand players", {
  skip_below_level(2)
  withr::local_seed(1)
  z <- rnorm(1000)
  i <- sample(1000, 9000, TRUE)
  j <- (i + sample(999, 9000, TRUE) - 1) %% 1000 + 1
  won <- runif(9000) < plogis(z[i] - z[j])
  fit <- fit_vb(skills(ifelse(won, i, j), ifelse(won, j, i)))
  expect_identical(fit$vb$approximation, "fullrank")
  players <- as.integer(fit$model$players)
  error <- (fit$table$mean - z[players]) / fit$table$sd
  expect_lt(abs(mean(error^2) - 1), 0.2)
  part <- fit$vb$components[[1]]
  expect_equal(fit$table$sd, sqrt(rowSums(part$L^2)), tolerance = 1e-8)
})

test_that("sums over pairs are those of the design matrix", {
  data <- skills(winner, loser, wins, data = al_east, home = home)$user$data
  A <- meanfield:::pair_design(data, 8L)
  x <- cos(seq_len(nrow(A)))
  for (p in 1:2) {
    expect_equal(meanfield:::powered_sums(data, 8L, x, p, 2), crossprod(A^p, x * A^2),
      tolerance = 1e-12)
  }
  data <- skills(1:3, 4:6)$user$data
  A <- meanfield:::pair_design(data, 6L)
  expect_equal(meanfield:::powered_sums(data, 6L, 1:3, 1, 2), crossprod(A, 1:3 * A^2))
})
