# The Gram: sums against base R, chunks add up, invariances.

raw_gram <- function(X, y, g = NULL, w = NULL, offset = NULL) {
  meanfield:::gram_of_rows(list(X = X, y = y, w = w, offset = offset,
    codes = if (!is.null(g)) as.integer(g), levels = levels(g)))
}

test_that("the Gram equals naive weighted sums", {
  set.seed(1)
  for (n in c(1, 2, 5, 127, 128, 129, 400)) {
    X <- cbind(a = rnorm(n, 10), b = rexp(n))
    y <- rnorm(n, -3)
    g <- factor(sample(letters[1:4], n, TRUE), levels = letters[1:4])
    w <- replace(rexp(n), sample(n, n %/% 3), 0)
    if (all(w == 0)) w[1] <- 1
    off <- rnorm(n)
    gr <- raw_gram(X, y, g, w, off)
    V <- cbind(X, y = y - off)
    m <- colSums(w * V) / sum(w)
    Vc <- sweep(V, 2, m)
    expect_equal(gr$mean, unname(m), tolerance = tol_merge)
    expect_equal(gr$cross, unname(crossprod(Vc, w * Vc)), tolerance = tol_merge)
    expect_equal(gr$n, sum(w > 0))
    expect_equal(gr$sum_log_w, sum(log(w[w > 0])), tolerance = tol_merge)
    Z <- outer(g, levels(g), "==") * 1
    expect_equal(gr$z1, unname(colSums(w * Z)), tolerance = tol_merge)
    expect_equal(gr$zv, unname(crossprod(Vc, w * Z)), tolerance = tol_merge)
  }
})

test_that("rows of weight zero do not count, whatever they hold", {
  set.seed(2)
  X <- cbind(a = rnorm(200))
  y <- rnorm(200)
  w <- rep(c(1, 0), 100)
  y[w == 0] <- c(Inf, NaN)
  X[w == 0] <- NA
  keep <- w > 0
  a <- raw_gram(X, y, w = w)
  b <- raw_gram(X[keep, , drop = FALSE], y[keep])
  expect_equal(a[c("n", "mean", "cross")], b[c("n", "mean", "cross")], tolerance = tol_merge)
})

test_that("Grams of row chunks add up", {
  set.seed(3)
  n <- 1000
  X <- cbind(one = 1, a = rnorm(n, 1e3), b = rnorm(n, -50, 20))
  y <- rnorm(n, 1e6)
  g <- factor(sample(c("q", "r", "s", "t", "v"), n, TRUE))
  w <- rexp(n)
  whole <- raw_gram(X, y, g, w)
  cut <- sort(rep_len(1:4, n) + (y > 1e6)) # uneven chunks with different levels each
  parts <- lapply(split(seq_len(n), cut), function(i) {
    gi <- factor(g[i])
    raw_gram(X[i, ], y[i], gi, w[i])
  })
  sum <- Reduce(`+`, parts)
  o <- match(whole$levels, sum$levels)
  scale <- sqrt(tcrossprod(diag(whole$cross) + 1))
  expect_lte(max(abs(sum$cross - whole$cross) / scale), tol_merge)
  expect_equal(sum$mean, whole$mean, tolerance = tol_merge)
  expect_equal(sum$z1[o], whole$z1, tolerance = tol_merge)
  expect_lte(max(abs(sum$zv[, o] - whole$zv)) / max(abs(whole$zv)), tol_merge)
  expect_error(whole + 1, class = "meanfield_error_gram")
})
