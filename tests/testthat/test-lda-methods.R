# Topic models: counts in every form, what cannot be fitted, methods.

set.seed(4)
corpus <- topic_corpus(12, 10, 2, 25, eta = 1)
counts <- corpus$counts
model <- lda(counts, 2, alpha = 0.4, eta = 0.3)
fit <- fit_vb(model)

test_that("counts come in every form", {
  same <- function(other) {
    own <- c("ptr", "word", "count", "documents", "words")
    expect_identical(lda(other, 2)[own], model[own])
  }
  storage.mode(counts) <- "integer"
  same(counts)
  at <- which(counts > 0, arr.ind = TRUE)
  shuffled <- at[sample(nrow(at)), ]
  slam <- structure(list(i = shuffled[, 1], j = shuffled[, 2], v = counts[shuffled],
    nrow = nrow(counts), ncol = ncol(counts), dimnames = list(Docs = rownames(counts),
      Terms = colnames(counts))), class = c("DocumentTermMatrix", "simple_triplet_matrix"))
  same(slam)
  turned <- structure(list(i = slam$j, j = slam$i, v = slam$v, nrow = slam$ncol, ncol = slam$nrow,
    dimnames = rev(slam$dimnames)), class = c("TermDocumentMatrix", "simple_triplet_matrix"))
  same(turned)
  skip_if_not_installed("Matrix")
  sparse <- Matrix::Matrix(counts, sparse = TRUE)
  same(sparse)
  same(methods::as(sparse, "TsparseMatrix"))
  same(methods::as(sparse, "RsparseMatrix"))
})

test_that("counts come as a long data frame, rows of a pair added up", {
  long <- data.frame(word = c("b", "a", "b", "c"), count = c(1, 2, 3, 1), document = c("x", "y", "x", "y"))
  m <- lda(long, 2)
  expect_identical(m$documents, c("x", "y"))
  expect_identical(m$words, c("a", "b", "c"))
  expect_identical(m$ptr, c(0L, 1L, 3L))
  expect_identical(m$word, c(1L, 0L, 2L))
  expect_identical(m$count, c(4, 2, 1))
  plain <- setNames(long[c(3, 1, 2)], c("i", "j", "n"))
  expect_identical(lda(plain, 2)$count, m$count)
})

test_that("names: none, twice, missing", {
  m <- lda(unname(counts), 2)
  expect_identical(m$documents[1:2], c("1", "2"))
  expect_identical(m$words[1:2], c("w1", "w2"))
  x <- counts
  colnames(x)[1:4] <- c("v", "v", NA, "")
  expect_identical(lda(x, 2)$words[1:4], c("v", "v.1", "w3", "w4"))
})

test_that("empty documents and unused words keep the prior", {
  x <- rbind(counts, empty = 0)
  x <- cbind(x, never = 0)
  m <- lda(x, 2, alpha = 0.4, eta = 0.3)
  expect_output(print(m), "1 of the documents empty; 1 of the words never used")
  f <- fit_vb(m)
  expect_equal(f$vb$gamma["empty", ], c(0.4, 0.4), ignore_attr = TRUE)
  expect_equal(f$vb$lambda[, "never"], c(0.3, 0.3), ignore_attr = TRUE)
  expect_equal(predict(f, type = "log_lik")[["empty"]], 0)
  expect_equal(f$vb$elbo, defined_bound(f), tolerance = 1e-10)
  set.seed(1)
  g <- suppressWarnings(fit_gibbs(f, chains = 2, iter = 400, warmup = 100))
  expect_equal(summary(g)$sd[variable_table(m)$a %in% 13 & variable_table(m)$kind == "theta"],
    rep(sqrt(0.25 / 1.8), 2), tolerance = 0.1)
})

test_that("what is no corpus is refused", {
  refused <- function(x, class = "data", ...) {
    expect_error(lda(x, ...), class = paste0("meanfield_error_", class))
  }
  bad <- function(value) replace(counts, 3, value)
  refused(bad(NA), topics = 2)
  refused(bad(NaN), topics = 2)
  refused(bad(Inf), topics = 2)
  refused(bad(-1), topics = 2)
  refused(bad(0.5), topics = 2)
  expect_error(lda(bad(0.5), 2), "tf-idf")
  refused(counts * 0, topics = 2)
  refused(counts[0, ], topics = 2)
  refused(counts[, 0], topics = 2)
  refused("a text", topics = 2)
  refused(list(1), topics = 2)
  refused(as.data.frame(counts)[1:2], topics = 2)
  refused(data.frame(document = c("a", NA), word = "b", count = 1), topics = 1)
  refused(data.frame(document = "a", word = "b", count = "1"), topics = 1)
  refused(Species ~ ., topics = 2)
  expect_error(lda(Species ~ ., datasets::iris), "MASS::lda")
  expect_error(lda(topics = 2), class = "meanfield_error_data")
  refused(counts, "control")
  for (k in list(0, 1.5, NA, "2", 11, 1e6)) refused(counts, "control", topics = k)
  for (a in list(0, -1, NA, Inf, c(1, 1), 1e-7, 1e7)) {
    refused(counts, "prior", topics = 2, alpha = a)
    refused(counts, "prior", topics = 2, eta = a)
  }
})

test_that("one document, one word, as many topics as words, a million of a word", {
  one <- suppressWarnings(fit_vb(lda(counts[1, , drop = FALSE], 2)))
  expect_true(is.finite(one$vb$elbo))
  expect_true(all(summary(fit_vb(lda(matrix(3), 1)))$mean == 1))
  many <- suppressWarnings(fit_vb(lda(counts, 10)))
  expect_equal(dim(coef(many)), c(10L, 10L))
  large <- suppressWarnings(fit_vb(lda(replace(counts, 1, 1e6), 2)))
  expect_equal(large$vb$elbo, defined_bound(large), tolerance = 1e-10)
  expect_equal(sum(large$vb$gamma) - 2 * 12 * 0.5, sum(large$model$count), tolerance = 1e-8)
})

test_that("settings that make no sense are refused, others warned of", {
  control <- function(expr) expect_error(expr, class = "meanfield_error_control")
  control(fit_vb(model, optimiser = "adam"))
  control(fit_vb(model, starts = 0))
  control(fit_vb(model, seed = -1))
  control(fit_vb(model, control = list()))
  control(fit_vb(model, nonsense = 1))
  control(fit_vb(model, optimiser = "svi", control = vb_control(batch_size = 13)))
  control(fit_gibbs(fit, chains = 0))
  control(fit_gibbs(fit, start = "here"))
  expect_error(fit_gibbs(fit, iter = 1e7), class = "meanfield_error_size")
  expect_warning(fit_vb(model, control = vb_control(max_iter = 3)),
    class = "meanfield_warning_convergence")
  expect_warning(fit_vb(lda(matrix(c(9, 0, 0, 9), 2), 2, eta = 50, alpha = 1e-3)), NA)
  for (f in list(fit_exact, fit_hmc, as_target)) {
    expect_error(f(fit), class = "meanfield_error_topics")
  }
  expect_error(fit_exact(model), "fit_gibbs", class = "meanfield_error_topics")
})

test_that("top words", {
  w <- top_words(fit, 3)
  expect_identical(w$topic, rep(1:2, each = 3))
  s <- summary(fit)
  at <- match(sprintf("topic[%d,%s]", w$topic, w$word), s$variable)
  expect_equal(w[c("mean", "sd", "q2.5", "q97.5")], s[at, c("mean", "sd", "q2.5", "q97.5")],
    ignore_attr = TRUE)
  for (k in 1:2) expect_identical(w$word[w$topic == k], names(sort(-coef(fit)[k, ]))[1:3])
  share <- colSums(counts) / sum(counts)
  expect_equal(w$lift, unname(w$mean / share[w$word]))
  expect_named(top_words(fit, 2, level = 0.8)[6:7], c("q10", "q90"))
  expect_identical(nrow(top_words(fit, 100)), 20L)
  expect_error(top_words(1), class = "meanfield_error_control")
  expect_error(top_words(fit, 0), class = "meanfield_error_control")
})

test_that("new documents", {
  # the documents of the fit, as new ones, given the topics
  again <- predict(fit, counts, se.fit = TRUE)
  expect_equal(again$fit, predict(fit), tolerance = 1e-3)
  mixed <- counts[, 10:1]
  expect_equal(predict(fit, mixed), again$fit)
  expect_message(p <- predict(fit, cbind(counts, other = 2)), class = "meanfield_message_words")
  expect_equal(p, again$fit)
  few <- predict(fit, rbind(new = c(v3 = 2, v1 = 1)))
  full <- predict(fit, rbind(new = replace(counts[1, ] * 0, c(3, 1), c(2, 1))))
  expect_equal(few, full)
  expect_equal(predict(fit, rbind(none = counts[1, ] * 0)), rbind(none = c(`1` = 0.5, `2` = 0.5)))
  w <- predict(fit, counts[1:2, ], "words")
  expect_equal(w, again$fit[1:2, ] %*% coef(fit))
  ll <- predict(fit, counts[1:3, ], "log_lik")
  expect_equal(predict(fit, counts[1:3, ], "perplexity"), exp(-sum(ll) / sum(counts[1:3, ])))
  expect_error(predict(fit, rbind(c(z = 1))), class = "meanfield_error_newdata")
  expect_error(predict(fit, replace(counts, 1, NA)), "`newdata`", class = "meanfield_error_newdata")
  expect_error(predict(fit, unname(counts[, 1:4])), class = "meanfield_error_newdata")
  expect_error(predict(fit, counts * 0, "perplexity"), class = "meanfield_error_newdata")
  expect_error(predict(fit, type = "class"), class = "meanfield_error_control")
})

test_that("a document's log likelihood is a bound of the integral over its proportions", {
  topic <- coef(fit)
  a <- model$alpha
  for (d in c(1, 5, 9)) {
    n <- counts[d, ]
    bound <- predict(fit, counts[d, , drop = FALSE], "log_lik")
    best <- optimize(function(t) sum(n * log(t * topic[1, ] + (1 - t) * topic[2, ])), c(0, 1),
      maximum = TRUE)$objective
    density <- function(t) {
      vapply(t, function(t) exp(sum(n * log(t * topic[1, ] + (1 - t) * topic[2, ])) - best), 0) * dbeta(t, a, a)
    }
    exact <- best + log(integrate(density, 0, 0.5)$value + integrate(density, 0.5, 1)$value)
    expect_lt(bound, exact)
    expect_gt(bound, exact - 2)
  }
  one <- fit_vb(update(fit, topics = 1)$model)
  expect_equal(predict(one, type = "log_lik"), drop(counts %*% log(coef(one)[1, ])), tolerance = 1e-10)
})

test_that("draws have the moments of the summary", {
  set.seed(4)
  s <- summary(fit)
  large <- fit
  large$response <- documents_response(model, mean_log(fit$vb$lambda), fit$vb$gamma)
  for (f in list(fit, large)) {
    d <- unclass(as_draws(f, ndraws = 4000))
    s <- summary(f)
    expect_identical(colnames(d), s$variable)
    theta <- variable_table(model)$kind == "theta"
    expect_equal(unname(rowSums(d[, theta])), rep(12, 4000))
    main <- s$mean > 0.05
    expect_lt(max(abs(colMeans(d) - s$mean)[main]), 0.02)
    expect_lt(max(abs(apply(d, 2, sd) / s$sd - 1)[main & theta]), 0.15)
  }
})

test_that("update, compare, simulate", {
  more <- update(fit, topics = 3)
  expect_identical(more$model$k, 3L)
  expect_identical(more$model$alpha, 0.4)
  expect_equal(update(fit_vb(lda(counts, 2)), topics = 3)$model$alpha, 1 / 3)
  expect_identical(update(fit, eta = 1)$model$eta, 1)
  expect_identical(update(fit, counts = counts[1:6, ])$model$documents, rownames(counts)[1:6])
  other <- update(fit, topics = 1)
  table <- compare(two = fit, one = other, loo = FALSE)
  expect_equal(sort(table$log_evidence), sort(c(fit$vb$elbo + log(2), other$vb$elbo)))
  expect_error(compare(fit, update(fit, counts = counts[1:6, ]), loo = FALSE),
    class = "meanfield_error_compare")
  expect_error(compare(fit, other, loo = TRUE), class = "meanfield_error_compare")
  sims <- simulate(fit, 50, seed = 1)
  expect_identical(sims, simulate(fit, 50, seed = 1))
  expect_equal(rowSums(sims[[1]]), rep(25, 12), ignore_attr = TRUE)
  mean <- Reduce(`+`, lapply(sims, identity)) / 50
  expect_lt(mean(abs(mean - predict(fit, type = "words") * 25)), 0.5)
})

test_that("print and plot", {
  expect_output(print(fit), "Converged in .*linear response")
  expect_output(print(model), "12 documents, 10 different words, 300 words in all")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  for (what in c("words", "trace", "posterior")) {
    expect_identical(withVisible(plot(fit, what))$visible, FALSE)
  }
  expect_error(plot(fit, topics = 3), class = "meanfield_error_control")
  expect_error(plot(fit, "dance"), class = "meanfield_error_control")
})

test_that("a fit that was changed is refused", {
  for (change in list(quote(f$vb$lambda[1] <- NA), quote(f$vb$gamma <- f$vb$gamma[-1, ]),
    quote(f$model$word[1] <- 99L), quote(f$model$ptr <- rev(f$model$ptr)), quote(f$response$kind <- "x"),
    quote(f$vb$lambda[1] <- -1), quote(f$model$k <- 3L))) {
    f <- fit
    eval(change)
    expect_error(summary(f), class = "meanfield_error_fit")
    expect_error(predict(f), class = "meanfield_error_fit")
  }
})
