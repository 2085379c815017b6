# Matches that are none are refused by name, with a remedy.

test_that("every wrong argument is named", {
  d <- al_east
  wrong <- list(
    winner = list(quote(skills()), quote(skills(NULL, "B")), quote(skills(c("A", NA), c("B", "C"))),
      quote(skills("", "B")), quote(skills(list(1), list(2))), quote(skills(TRUE, FALSE)),
      quote(skills(Sys.Date(), 2)), quote(skills(1.5, 2)),
      quote(skills(c(1, Inf), 2:3)), quote(skills(factor(c("a", NA), exclude = NULL), c("b", "c"))),
      quote(skills(character(), character())),
      quote(skills(winner, loser, wins, d[0, ])), quote(skills(nobody, loser, wins, d)),
      quote(skills(matrix("A", 1, 1), "B", data = NULL)[0])),
    loser = list(quote(skills("A")), quote(skills("A", "A")), quote(skills(1:3, 2:3)),
      quote(skills(winner, nobody, wins, d))),
    wins = list(quote(skills(winner, loser, -1, d)), quote(skills(winner, loser, NA, d)),
      quote(skills(winner, loser, 0.5, d)), quote(skills(winner, loser, Inf, d)),
      quote(skills(winner, loser, 0, d)), quote(skills(winner, loser, "3", d)),
      quote(skills(winner, loser, 1e13, d)),
      quote(skills(winner, loser, 1:2, d)), quote(skills(winner, loser, winner, d))),
    ties = list(quote(skills(winner, loser, wins, d, ties = -1)),
      quote(skills(winner, loser, wins, d, ties = "a")),
      quote(skills(winner, loser, wins, d, ties = nobody))),
    home = list(quote(skills(winner, loser, wins, d, home = "Milwaukee")),
      quote(skills(winner, loser, wins, d, home = wins)),
      quote(skills(winner, loser, wins, d, home = c(TRUE, FALSE)))),
    data = list(quote(skills(winner, loser, wins, 3)), quote(skills(winner, loser, wins, "d")))
  )
  wrong$winner <- wrong$winner[-length(wrong$winner)]
  for (arg in names(wrong)) for (call in wrong[[arg]]) {
    e <- tryCatch(eval(call), error = identity)
    expect_s3_class(e, "meanfield_error_skills")
    expect_identical(e$arg, arg, info = deparse1(call))
    expect_true(has_remedy(conditionMessage(e)), info = conditionMessage(e))
  }
  for (sd in list(0, Inf, NA, -1, "a", c(1, 2), 1e5, 1e-5, NULL)) {
    expect_error(skills(winner, loser, wins, d, prior_sd = sd), class = "meanfield_error_prior")
  }
  expect_error(skills("A", "B", link = "cloglog"), class = "meanfield_error_control")
})

test_that("players: levels without matches are none, and order is that of levels or the alphabet", {
  l <- factor(c("A", "B"), levels = c("Z", "B", "A", "Q"))
  expect_identical(skills(l, rev(l))$players, c("B", "A"))
  expect_identical(skills(c("b", "C"), c("a", "a"))$players, c("C", "a", "b"))
  expect_identical(skills(c(2, 10), c(10, 100))$players, c("10", "100", "2"))
  d <- data.frame(won = l, lost = rev(l))
  expect_identical(skills("won", "lost", data = d)$players, c("B", "A"))
  silent <- skills(c("A", "A"), c("B", "C"), c(3, 0)) # one who has not met anybody yet
  fit <- fit_vb(silent, refine = "no")
  expect_equal(unlist(fit$table[3, c("mean", "sd_mfvb")], use.names = FALSE), c(0, 1), tolerance = 1e-8)
})

test_that("who is at home", {
  a <- skills(c("A", "B", "A"), c("B", "A", "B"), home = c("A", "A", NA))
  b <- skills(c("A", "B", "A"), c("B", "A", "B"), home = c(TRUE, FALSE, NA))
  expect_identical(a$user$data, b$user$data)
  expect_identical(a$user$data$pairs$side, c(0, 1))
  expect_identical(a$user$data$pairs$wins_b, c(0, 1))
})

test_that("players may have the names of columns", {
  d <- data.frame(winner = "loser", loser = "home", home = "home")
  expect_identical(skills(winner, loser, data = d, home = home)$players, c("home", "loser"))
  fit <- fit_vb(skills(winner, loser, data = d, home = home), refine = "no")
  more <- update(fit, data.frame(winner = "home", loser = "winner", home = "home"))
  expect_identical(more$model$players, c("home", "loser", "winner"))
  expect_identical(more$model$user$data$pairs$side, c(1, 1))
})
