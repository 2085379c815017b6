# Rankings, matches to come, updates and seasons of skills.

fit <- fit_vb(baseball_model())
at_home <- fit_vb(baseball_model(home = home))

test_that("standings count the ranks", {
  s <- standings(fit, top = c(1, 3, 7))
  expect_named(s, c("player", "mean", "sd", "q2.5", "q97.5", "p_best", "p_top3", "p_top7", "rank"))
  expect_false(is.unsorted(rev(s$mean)))
  expect_equal(sum(s$p_best), 1)
  expect_equal(sum(s$p_top3), 3)
  expect_equal(s$p_top7, rep(1, 7))
  expect_equal(sum(s$rank), 28)
  expect_equal(s$mean, as.data.frame(summary(fit))$mean[match(s$player, fit$model$players)])
  z <- rbind(c(3, 1), c(1, 2), c(2, 3))
  expect_equal(point_ranks(z), rbind(c(1, 3), c(3, 2), c(2, 1)))
  expect_named(standings(fit, level = 0.9)[4:5], c("q5", "q95"))
  for (wrong in list(0, 8, 1.5, NA, "a")) {
    expect_error(standings(fit, wrong), class = "meanfield_error_control")
  }
  expect_error(standings(3), class = "meanfield_error_skills")
  two <- standings(fit_exact(duel_model(5, 0)))
  expect_equal(two$p_best, duels$better[2] * c(1, -1) + 0:1, tolerance = 1e-7)
})

test_that("who is better, and who wins", {
  h <- head_to_head(fit)
  expect_named(h, c("p_better", "p_win"))
  for (p in h) expect_equal(p + t(p), matrix(1, 7, 7, dimnames = dimnames(p)) + diag(NA, 7))
  # two that are near normal: moments say the same
  i <- c("Milwaukee", "Detroit")
  v <- paste0("skill[", i, "]")
  gap <- c(1, -1) %*% vcov(fit)[v, v] %*% c(1, -1)
  m <- -diff(fit$table$mean[match(i, fit$model$players)])
  expect_equal(h$p_better[i[1], i[2]], pnorm(m / sqrt(drop(gap))), tolerance = 0.02)
  expect_lt(h$p_win[i[1], i[2]], h$p_better[i[1], i[2]])
  some <- head_to_head(fit, rev(i))
  expect_equal(some$p_win, h$p_win[rev(i), rev(i)])
  tied <- fit_vb(league_model(tied_league(4, "logit"), "logit", TRUE, FALSE))
  p <- head_to_head(tied)
  expect_equal((p$p_win + t(p$p_win) + p$p_tie)[1, 2], 1)
  expect_error(head_to_head(fit, "Boston Red"), class = "meanfield_error_control")
  expect_error(head_to_head(fit, c("Boston", "Boston")), class = "meanfield_error_control")
})

test_that("predictions of matches", {
  games <- data.frame(winner = "Detroit", loser = c("Toronto", "Boston"))
  p <- predict(fit, games)
  h <- head_to_head(fit)
  expect_equal(p$p_win, unname(h$p_win["Detroit", c("Toronto", "Boston")]))
  expect_equal(p$p_better, unname(h$p_better["Detroit", c("Toronto", "Boston")]))
  expect_true(all(p$q2.5 < p$p_win & p$p_win < p$q97.5 & p$sd > 0))
  back <- predict(fit, data.frame(winner = games$loser, loser = "Detroit"))
  expect_equal(back$p_win, 1 - p$p_win)
  expect_equal(nrow(predict(fit)), 21)
  where <- predict(at_home, data.frame(winner = "Detroit", loser = "Toronto",
    home = c("Detroit", "Toronto", NA)))
  expect_equal(where$home, c(1, -1, 0))
  expect_gt(where$p_win[1], where$p_win[3])
  expect_gt(where$p_win[3], where$p_win[2])
  expect_equal(diff(where$p_better), c(0, 0))
  duel <- fit_exact(duel_model(5, 0))
  expect_equal(predict(duel, data.frame(winner = "A", loser = "B"))$p_win, duels$win[2],
    tolerance = 1e-7)
  expect_equal(predict(fit, function(p) p$skill[1], ndraws = 500)$mean, fit$table$mean[1],
    tolerance = 0.1)
})

test_that("new players come from the prior, when asked for", {
  duel <- fit_exact(duel_model(5, 0))
  game <- data.frame(winner = "C", loser = c("A", "D"))
  expect_error(predict(duel, game), "allow_new_levels", class = "meanfield_error_newdata")
  p <- predict(duel, game, allow_new_levels = TRUE)
  a <- duel$points$z[1, ]
  expect_equal(p$p_better[1], sum(duel$points$weights * pnorm(-a)), tolerance = 0.02)
  expect_equal(p[2, c("p_win", "p_better")], data.frame(p_win = 0.5, p_better = 0.5),
    tolerance = 0.03, ignore_attr = TRUE)
  expect_equal(p$sd[2], sqrt(integrate(function(d) (plogis(d) - 0.5)^2 * dnorm(d, 0, sqrt(2)),
    -Inf, Inf)$value), tolerance = 0.03)
})

test_that("an update with new matches is a fit of all of them", {
  more <- data.frame(winner = c("Detroit", "Zwolle"), loser = c("Toronto", "Detroit"), wins = 3:2,
    home = c("Toronto", NA))
  all <- rbind(transform(al_east, home = as.character(home)), more)
  same <- function(a, b) {
    expect_setequal(a$model$players, b$model$players)
    at <- match(b$model$variables$variable, a$model$variables$variable)
    expect_equal(a$vb$elbo, b$vb$elbo, tolerance = 1e-10)
    expect_equal(a$table$mean[at], b$table$mean, tolerance = 0.01)
    expect_equal(a$table$mean_mfvb[at], b$table$mean_mfvb, tolerance = 1e-8)
    expect_equal(a$table$sd_mfvb[at], b$table$sd_mfvb, tolerance = 1e-8)
  }
  same(update(at_home, more), fit_vb(skills(winner, loser, wins, all, home = home)))
  for (approximation in c("fullrank", "meanfield")) {
    old <- fit_vb(baseball_model(), approximation = approximation, refine = "no")
    new <- update(old, more)
    expect_identical(new$vb$approximation, approximation)
    same(new, fit_vb(skills(winner, loser, wins, all), approximation = approximation, refine = "no"))
  }
  expect_lt(update(fit, more[1, ])$vb$components[[1]]$iterations,
    fit$vb$components[[1]]$iterations)
  expect_equal(nobs(update(fit, more)), 278)
  twice <- update(update(fit, more[1, ]), more[2, ])
  expect_equal(twice$vb$elbo, update(fit, more)$vb$elbo, tolerance = 1e-10)
  duel <- update(fit_exact(duel_model(1, 0)), data.frame(winner = "A", loser = "B", wins = 4))
  expect_equal(duel$log_evidence, duels$evidence[2], tolerance = 1e-7)
  single <- fit_vb(skills("A", "B"), refine = "no") # wins was a number
  four <- update(single, data.frame(winner = "A", loser = "B", wins = 4))
  expect_equal(four$vb$elbo, duels$full_elbo[2], tolerance = 1e-6)
  expect_equal(nobs(update(four, data.frame(winner = "A", loser = "B"))), 6)
  expect_equal(nobs(update(single, data.frame(winner = c("A", "B"), loser = c("B", "A")))), 3)
  expect_s3_class(update(fit, refine = "no"), "skills_fit")
  expect_true(is.call(update(fit, refine = "no", evaluate = FALSE)))
  set.seed(1)
  chains <- fit_hmc(fit, chains = 1, iter = 300, warmup = 100)
  expect_s3_class(update(chains, more, iter = 250), c("skills_fit", "target_hmc_fit"), exact = FALSE)
})

test_that("new data that are none", {
  wrong <- list(3, data.frame(), al_east[0, ], data.frame(winner = "Boston"),
    data.frame(winner = "Boston", loser = "Boston"), data.frame(winner = NA, loser = "Boston"),
    data.frame(winner = "Boston", loser = "Detroit", wins = -1)[3:1])
  for (w in wrong[1:6]) expect_error(predict(fit, w), class = "meanfield_error_newdata")
  for (w in wrong[1:4]) expect_error(update(fit, w), class = "meanfield_error_newdata")
  for (w in wrong[5:7]) expect_error(update(fit, transform(w, wins = w$wins %||% 1)),
    class = "meanfield_error_skills")
  expect_error(predict(at_home, data.frame(winner = "Boston", loser = "Detroit")), "home",
    class = "meanfield_error_newdata")
  expect_error(predict(at_home, data.frame(winner = "Boston", loser = "Detroit", home = "Toronto")),
    "home", class = "meanfield_error_newdata")
})

test_that("seasons played anew have the mean of the predictions", {
  s <- simulate(fit, 400, seed = 3)
  expect_identical(s, simulate(fit, 400, seed = 3))
  pairs <- fit$model$user$data$pairs
  won <- rowMeans(vapply(s, function(x) x[, "wins_a"], numeric(21)))
  p <- head_to_head(fit)$p_win[cbind(pairs$a, pairs$b)]
  games <- pairs$wins_a + pairs$wins_b
  expect_lte(max(abs(won - games * p)), 0.6)
  expect_true(all(s$sim_1[, "wins_a"] + s$sim_1[, "wins_b"] == games))
  tied <- fit_vb(league_model(tied_league(4, "probit"), "probit", TRUE, TRUE))
  s <- simulate(tied, 2, seed = 1)
  expect_equal(rowSums(s$sim_2), rep(6, 6), ignore_attr = TRUE)
  expect_named(s$sim_1[1, ], c("wins_a", "wins_b", "ties"))
})

test_that("printing, pictures and what all fits answer", {
  expect_output(print(fit), "7 players, 273 matches of 21 pairs")
  expect_output(print(at_home), "home")
  expect_output(print(fit$model), "Prior SD of a skill: 1")
  expect_equal(nobs(fit), 273)
  expect_s3_class(logLik(fit), "logLik")
  withr::local_pdf(NULL)
  expect_identical(plot(fit), fit)
  mf <- fit_vb(fit, approximation = "meanfield")
  expect_identical(plot(fit, reference = mf, top = 3), fit)
  expect_identical(plot(mf, "convergence"), mf)
  expect_identical(plot(fit, "posterior", variables = "skill[Boston]"), fit)
  expect_error(plot(fit, reference = 3), class = "meanfield_error_report")
  expect_error(plot(fit, reference = at_home), class = "meanfield_error_report")
  expect_error(plot(fit, "convergenc"), class = "meanfield_error_control")
  expect_equal(rownames(vb_sensitivity(fit)), as.data.frame(summary(fit))$variable)
  expect_equal(colnames(vb_sensitivity(fit)), "prior_sd")
  # a wider prior spreads the means: by the derivative, and by a refit
  h <- 1e-2
  wider <- fit_vb(baseball_model(prior_sd = 1 + h))$table$mean - fit_vb(baseball_model(prior_sd = 1 -
    h))$table$mean
  expect_equal(unname(vb_sensitivity(fit)[, 1]), wider / (2 * h), tolerance = 0.05)
  kinds <- compare(logit = fit, probit = fit_vb(baseball_model(link = "probit")), loo = FALSE)
  expect_equal(nrow(kinds), 2)
})
