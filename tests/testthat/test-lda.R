# Topic models: the bound, exact posteriors of tiny corpora, stochastic fits, linear response.

test_that("the bound is what it says, never falls, and stays below the evidence", {
  set.seed(1)
  corpora <- list(tiny_counts, topic_corpus(15, 12, 3, 20)$counts, topic_corpus(8, 30, 4, 60)$counts)
  for (counts in corpora) {
    for (prior in list(c(0.5, 0.5), c(0.05, 0.01), c(5, 2))) {
      fit <- fit_vb(lda(counts, 2, alpha = prior[1], eta = prior[2]))
      expect_equal(fit$vb$elbo, defined_bound(fit), tolerance = 1e-10)
      expect_gt(min(diff(fit$trace$elbo)), -1e-11 * abs(fit$vb$elbo))
      expect_identical(fit$vb$elbo, tail(fit$trace$elbo, 1))
      if (identical(counts, tiny_counts)) {
        evidence <- log_sum(enumerated_topics(counts, 2, prior[1], prior[2])$log_joint)
        expect_lt(fit$vb$elbo, evidence)
        expect_gt(fit$vb$elbo, evidence - 4)
      }
    }
  }
})

test_that("one topic is exact", {
  m <- lda(tiny_counts, 1, alpha = 0.7, eta = 0.4)
  fit <- fit_vb(m)
  n <- colSums(tiny_counts)
  expect_equal(fit$vb$elbo, enumerated_topics(tiny_counts, 1, 0.7, 0.4)$log_joint, tolerance = 1e-12)
  expect_equal(fit$vb$lambda[1, ], n + 0.4, tolerance = 1e-12)
  s <- summary(fit)
  a <- unname(n + 0.4)
  own <- s[match(sprintf("topic[1,%s]", c("a", "b", "c")), s$variable), ]
  expect_equal(own$mean, a / sum(a), tolerance = 1e-10)
  expect_equal(own$sd, sqrt(a * (sum(a) - a) / sum(a)^2 / (sum(a) + 1)), tolerance = 1e-8)
  expect_equal(own$q97.5, qbeta(0.975, a, sum(a) - a), tolerance = 1e-6)
})

test_that("weights that underflow are done by logarithms", {
  counts <- diag(4) * 3
  for (prior in c(1e-3, 1e-6)) {
    fit <- suppressWarnings(fit_vb(lda(counts, 4, alpha = prior, eta = prior)))
    expect_true(is.finite(fit$vb$elbo))
    expect_gt(min(diff(fit$trace$elbo)), -1e-10 * abs(fit$vb$elbo))
    expect_equal(fit$vb$elbo, defined_bound(fit), tolerance = 1e-9)
    expect_equal(sum(fit$vb$gamma - prior), sum(counts), tolerance = 1e-9)
  }
})

test_that("the special functions are R's", {
  # psi and log Gamma by the bound of one document without words, and of topics without documents
  for (a in c(1e-5, 0.013, 0.5, 1, 1.4616, 2, 3.7, 7.99, 8, 25, 1e4)) {
    m <- lda(rbind(c(2, 1), c(1, 1)), 2, alpha = 0.3, eta = 0.2)
    core <- lda_core(m)
    core[c("ptr", "word", "count")] <- list(c(0L, 0L), integer(), numeric())
    core$alpha <- a
    out <- call_lda_documents(core, log(rep(0.5, 4)), NULL,
      list(inner_tol = 0, inner_max = 1L, variance = FALSE))
    expect_equal(out$bound, 0, tolerance = 1e-12)
    lambda <- matrix(c(a, 2 * a, a + 1, 0.3), 2)
    run <- call_lda_fit(lda_core(m), lambda, NULL,
      list(tol = 0, max_iter = 1L, fresh = FALSE, inner_tol = 0, inner_max = 3L))$result
    fit <- list(model = m, vb = list(lambda = lambda, gamma = t(run$gamma)))
    expect_equal(run$elbo, defined_bound(fit), tolerance = 1e-11)
  }
})

test_that("the sampler has the posterior of a corpus that can be enumerated", {
  k <- 2
  all <- enumerated_topics(tiny_counts, k, 0.5, 0.3)
  p <- exp(all$log_joint - log_sum(all$log_joint))
  share <- function(unit, prior, size, sums) { # E of a Dirichlet given z
    n <- table(factor(unit, seq_len(size)), factor(sums, seq_len(k)))
    list(doc = (n + prior) / (rowSums(n) + k * prior), word = t(t(n + prior) / (colSums(n) + size * prior)))
  }
  # the same under every labelling: do the documents, and the words a and c, share their topics?
  together <- apply(all$z, 1L, function(z) {
    theta <- share(all$doc, 0.5, 2, z)$doc
    c(sum(theta[1, ] * theta[2, ]), max(table(factor(z, 1:k))))
  })
  m <- lda(tiny_counts, k, alpha = 0.5, eta = 0.3)
  set.seed(3)
  fit <- suppressWarnings(fit_gibbs(m, chains = 2, iter = 8500, warmup = 500))
  d <- flat_draws(fit$draws)
  theta <- function(doc) d[, sprintf("theta[%s,%d]", doc, 1:2)]
  near_exact <- function(x, exact) {
    mcse <- posterior::mcse_mean(matrix(x, ncol = 2))
    expect_lt(abs(mean(x) - exact) / mcse, 4)
  }
  near_exact(rowSums(theta("first") * theta("second")), sum(p * together[1, ]))
  near_exact(c(fit$log_joint), sum(p * all$log_joint))
  near_exact(c(fit$log_joint)^2, sum(p * all$log_joint^2))
  # stored draws are draws: their log joint is one of those enumerated
  expect_true(all(vapply(unique(c(fit$log_joint)), function(l) min(abs(l - all$log_joint)), 0) < 1e-9))
  expect_equal(rowSums(d[, 1:2]), rep(1, nrow(d)), tolerance = 1e-12)
  expect_equal(d[, 1], (theta("first")[, 1] + theta("second")[, 1]) / 2, tolerance = 1e-12)
})

test_that("seeds: fits leave R's generator alone, the sampler follows it", {
  m <- lda(tiny_counts, 2)
  set.seed(1)
  before <- .Random.seed
  a <- fit_vb(m)
  b <- fit_vb(m, optimiser = "svi")
  expect_identical(.Random.seed, before)
  set.seed(77)
  expect_identical(fit_vb(m)$vb, a$vb)
  expect_identical(fit_vb(m, optimiser = "svi")$vb, b$vb)
  draw <- function(seed) {
    set.seed(seed)
    suppressWarnings(fit_gibbs(a, chains = 1, iter = 60, warmup = 10))$draws
  }
  expect_identical(draw(1), draw(1))
  expect_false(identical(draw(1), draw(2)))
})

test_that("topics are found again, by all three ways", {
  set.seed(5)
  x <- topic_corpus(150, 50, 3, 80, eta = 0.2)
  m <- lda(x$counts, 3, alpha = 0.3, eta = 0.2)
  cavi <- fit_vb(m)
  svi <- fit_vb(m, optimiser = "svi", control = vb_control(batch_size = 30))
  expect_lt(abs(svi$vb$elbo / cavi$vb$elbo - 1), 0.005)
  expect_equal(svi$vb$elbo, defined_bound(svi), tolerance = 1e-10)
  set.seed(6)
  gibbs <- suppressWarnings(fit_gibbs(cavi, chains = 1, iter = 300, warmup = 100, thin = 2))
  for (fit in list(cavi, svi, gibbs)) {
    topic <- coef(fit)
    match <- apply(1 - cor(t(topic), t(x$topic)), 1, which.min)
    expect_setequal(match, 1:3)
    expect_lt(max(abs(topic - x$topic[match, ])), 0.03)
    expect_lt(mean(abs(predict(fit) - x$theta[, match])), 0.05)
    expect_equal(rowSums(predict(fit)), rep(1, 150), tolerance = 1e-10, ignore_attr = TRUE)
    prevalence <- summary(fit)$mean[1:3]
    expect_identical(order(-prevalence), 1:3)
  }
  # starts: the best of several is no worse than the first
  one <- fit_vb(m, starts = 1)
  expect_gte(cavi$vb$elbo, one$vb$elbo - 1e-3)
  expect_identical(nrow(cavi$starts), 3L)
})

# ---- linear response ---------------------------------------------------------------------------

# (V^-1 - H)^-1 of one document's log theta, and Cov(theta), by dense matrices.
document_response <- function(n, topic, gamma) {
  total <- sum(gamma)
  V <- diag(trigamma(gamma)) - trigamma(total)
  l <- digamma(gamma) - digamma(total)
  H <- matrix(0, length(gamma), length(gamma))
  for (j in which(n > 0)) {
    phi <- exp(l) * topic[, j] / sum(exp(l) * topic[, j])
    H <- H + n[j] * (diag(phi) - tcrossprod(phi))
  }
  S <- solve(solve(V) - H)
  mean <- gamma / total
  C <- (diag(length(mean)) - mean) / total # Cov_q(theta, log theta)
  J <- C %*% solve(V)
  list(log = S, var = diag((diag(mean) - tcrossprod(mean)) / (total + 1) + J %*% (S - V) %*% t(J)))
}

test_that("linear response of a document is the derivative of its fit", {
  set.seed(8)
  x <- topic_corpus(4, 9, 3, 25, alpha = 1, eta = 1)
  m <- lda(x$counts, 3, alpha = 0.8, eta = 1)
  tight <- list(inner_tol = 1e-14, inner_max = 20000L, variance = TRUE)
  at <- function(alpha) {
    core <- lda_core(m)
    core$alpha <- alpha
    call_lda_documents(core, log(x$topic), NULL, tight)
  }
  out <- at(0.8)
  e_log <- function(out) digamma(out$gamma) - digamma(colSums(out$gamma))[col(out$gamma)]
  slope <- (e_log(at(0.8 + 1e-4)) - e_log(at(0.8 - 1e-4))) / 2e-4
  for (d in 1:4) {
    dense <- document_response(x$counts[d, ], x$topic, out$gamma[, d])
    expect_equal(out$var[, d], dense$var, tolerance = 1e-7)
    expect_equal(slope[, d], rowSums(dense$log), tolerance = 1e-5)
  }
})

test_that("linear response of all together is the derivative of the fit", {
  set.seed(9)
  m <- lda(topic_corpus(6, 5, 2, 30, alpha = 1, eta = 1)$counts, 2, alpha = 1, eta = 0.9)
  fit <- fit_vb(m)
  expect_identical(fit$response$kind, "joint")
  e_log <- function(eta) {
    fit$model$eta <- eta
    fit$vb$gamma <- fit$vb$gamma
    s <- settled(settled(settled(fit)))$vb
    c(mean_log(s$lambda), t(mean_log(s$gamma)))
  }
  slope <- (e_log(0.9 + 1e-3) - e_log(0.9 - 1e-3)) / 2e-3
  s <- settled(settled(settled(fit)))
  a <- c(s$vb$lambda, t(s$vb$gamma))
  block <- response_blocks(m)
  S <- solve(inverse_log_covariance(a, block) - words_curvature(s))
  expect_equal(slope, rowSums(S[, seq_along(s$vb$lambda)]), tolerance = 1e-3)
  # and to probabilities by Cov_q(p, log p), as for a document
  V <- log_covariance(a, block)
  C <- (diag(length(a)) - same_block(block) * (a / block_total(a, block))) / block_total(a, block)
  J <- C %*% solve(V)
  expect_equal(fit$response$covariance, dirichlet_covariance(a, block) + J %*% (S - V) %*% t(J),
    tolerance = 1e-3, ignore_attr = TRUE)
  # probabilities sum to one
  total <- rowsum(fit$response$covariance, block)
  expect_lt(max(abs(total)), 1e-8)
})

test_that("SDs under linear response are those of the sampler where mean field's are not", {
  skip_below_level(2)
  set.seed(3)
  x <- topic_corpus(40, 30, 2, 50, alpha = 0.5, eta = 0.5)
  fit <- fit_vb(lda(x$counts, 2, alpha = 0.5, eta = 0.5))
  set.seed(1)
  gibbs <- fit_gibbs(fit, chains = 2, iter = 2500, warmup = 500)
  s <- summary(fit)
  g <- summary(gibbs)
  kind <- variable_table(fit$model)$kind
  for (k in c("topic", "theta")) {
    own <- kind == k & g$mean > 0.02
    ratio <- s$sd[own] / g$sd[own]
    expect_gt(median(ratio), 0.9)
    expect_lt(median(ratio), 1.05)
    expect_lt(median(s$sd_mfvb[own] / g$sd[own]), median(ratio) - 0.05)
  }
  report <- sd_ratio_report(fit, gibbs)
  expect_lt(report$table$ratio_mfvb[1], 0.6)
  expect_gt(report$table$ratio_lrvb[1], 0.8)
})

test_that("a large corpus has the response of its documents, and says so", {
  set.seed(10)
  m <- lda(topic_corpus(60, 300, 4, 40)$counts, 4, alpha = 0.3)
  fit <- fit_vb(m)
  expect_identical(fit$response$kind, "documents")
  s <- summary(fit)
  kind <- variable_table(m)$kind
  expect_setequal(s$source[kind != "theta"], "mfvb")
  own <- kind == "theta" & s$source == "lrvb"
  expect_gt(mean(own[kind == "theta"]), 0.9)
  expect_true(all(s$sd[own] >= s$sd_mfvb[own] - 1e-12))
  expect_output(print(fit), "given the topics")
  expect_error(vcov(fit), class = "meanfield_error_engine")
  expect_equal(sqrt(diag(vcov(fit, type = "mfvb"))), s$sd[1:4], ignore_attr = TRUE)
  expect_error(vcov(fit, type = "mfvb", pars = "all"), NA)
})

test_that("sparse matrices of every kind are their counts", {
  skip_if_not_installed("Matrix")
  square <- matrix(c(4, 2, 1, 2, 5, 0, 1, 0, 3), 3)
  upper <- square * upper.tri(square, TRUE)
  unit <- upper
  diag(unit) <- 1
  for (counts in list(square, upper, unit, diag(3), 2 * diag(3))) {
    dense <- lda(counts, 2)
    for (sparse in list(Matrix::Matrix(counts, sparse = TRUE), Matrix::Matrix(counts))) {
      got <- lda(sparse, 2)
      expect_identical(got[c("ptr", "word", "count")], dense[c("ptr", "word", "count")])
    }
  }
  expect_identical(lda(Matrix::Diagonal(3), 2)$count, c(1, 1, 1))
  expect_error(lda(Matrix::sparseVector(1, 1, 3), 1), class = "meanfield_error_data")
})

test_that("tables with cells outside of themselves are refused", {
  table <- structure(list(i = c(1L, 2L, 2L), j = c(1L, 2L, 1L), v = c(1, 2, 3), nrow = 2L,
    ncol = 2L, dimnames = NULL), class = "simple_triplet_matrix")
  expect_identical(lda(table, 2)$count, c(1, 3, 2))
  for (wrong in list(list(i = c(1L, 2L, 5L)), list(j = c(0L, 1L, 2L)), list(i = c("a", "b", "c")),
    list(i = 1:2), list(v = NULL), list(nrow = NULL), list(j = c(1L, NA, 2L)))) {
    bad <- table
    bad[names(wrong)] <- wrong
    expect_error(lda(bad, 1), class = "meanfield_error_data")
  }
})

test_that("data frames with a column per word are refused", {
  wide <- as.data.frame(matrix(1:12, 3))
  expect_error(lda(wide, 2), "as.matrix", class = "meanfield_error_data")
  expect_error(lda(cbind(id = letters[1:3], wide), 2), "as.matrix", class = "meanfield_error_data")
  long <- data.frame(d = 1:2, w = c("a", "b"), n = 1:2, note = c("x", "y"))
  expect_identical(lda(long, 2)$count, c(1, 2))
  expect_error(lda(data.frame(d = 1:2, w = I(list(1, 2)), n = 1), 1),
    class = "meanfield_error_data")
})
