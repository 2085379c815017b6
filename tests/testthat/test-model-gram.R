# The Gram: sums against base R, chunks add up, invariances.

raw_gram <- function(X, y, g = NULL, w = NULL, offset = NULL) {
  factors <- if (!is.null(g)) {
    list(list(name = "g", codes = as.integer(g), levels = levels(g), coef = "(Intercept)",
      A = matrix(1)))
  }
  gram_of_rows(list(X = X, y = y, w = w, offset = offset, factors = factors))
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
    expect_equal(gr$factors[[1]]$z1, unname(colSums(w * Z)), tolerance = tol_merge)
    expect_equal(gr$factors[[1]]$zv, unname(crossprod(Vc, w * Z)), tolerance = tol_merge)
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
  sum <- Reduce(add_grams, parts)
  o <- match(whole$factors[[1]]$levels, sum$factors[[1]]$levels)
  scale <- sqrt(tcrossprod(diag(whole$cross) + 1))
  expect_lte(max(abs(sum$cross - whole$cross) / scale), tol_merge)
  expect_equal(sum$mean, whole$mean, tolerance = tol_merge)
  expect_equal(sum$factors[[1]]$z1[o], whole$factors[[1]]$z1, tolerance = tol_merge)
  expect_lte(max(abs(sum$factors[[1]]$zv[, o] - whole$factors[[1]]$zv)) / max(abs(whole$factors[[1]]$zv)), tol_merge)
})

# Any Gram assembled to the arrow's dense equivalent, C = [X Z] with Z by factor.
dense_of <- function(core) {
  gl <- seq_len(core$n_global)
  n <- core$n_global + core$n_leaf * core$r
  A <- matrix(0, n, n)
  A[gl, gl] <- core$global
  for (g in seq_len(core$n_leaf)) {
    at <- core$n_global + (g - 1) * core$r + seq_len(core$r)
    A[at, at] <- core$leaf[(g - 1) * core$r^2 + seq_len(core$r^2)]
    k <- core$ptr[g + 1] - core$ptr[g]
    cols <- core$idx[core$ptr[g] + seq_len(k)] + 1
    A[cols, at] <- core$cross[core$r * core$ptr[g] + seq_len(k * core$r)]
    A[at, cols] <- t(A[cols, at])
  }
  A
}

test_that("slopes and several factors: the arrow equals the dense Gram, and chunks add up", {
  set.seed(4)
  n <- 400
  d <- data.frame(x = rnorm(n, 5), s = rnorm(n), g = factor(sample(letters[1:9], n, TRUE)),
    h = factor(sample(LETTERS[1:4], n, TRUE)), k = factor(sample(1:3, n, TRUE)), w = rexp(n))
  d$y <- rnorm(n, 100)
  d$w[d$g == "c" & d$h == "B"] <- 0 # a pair of levels that never meets
  for (f in c(y ~ x + (1 + s | g) + (1 | h) + (0 + s | k), y ~ x + (s || h) + (1 | g),
    y ~ 0 + x + (1 | h) + (1 | k), y ~ x + (1 | h / k) + (k | g))) {
    fit <- fit_vb(f, d, weights = w, integrate = "no")
    m <- fit$model
    core <- lmm_core(m)
    X <- model.matrix(fit)
    if ("(Intercept)" %in% colnames(X)) X[, "x"] <- X[, "x"] - sum(d$w * d$x) / sum(d$w)
    parts <- linear_parts(fit, NULL, NULL, TRUE)
    Z <- lapply(parts$groups, function(g) {
      G <- length(m$factors[[g$factor]]$levels)
      r <- ncol(g$Z)
      out <- matrix(0, n, G * r)
      code <- ifelse(is.na(g$code), 1, g$code)
      for (j in seq_len(r)) out[cbind(seq_len(n), (code - 1) * r + j)] <- g$Z[, j]
      out
    })
    C <- cbind(X, do.call(cbind, Z[-1]), Z[[1]])
    expect_equal(dense_of(core), unname(crossprod(C, d$w * C)), tolerance = tol_merge)
    y <- d$y - if ("(Intercept)" %in% colnames(X)) sum(d$w * d$y) / sum(d$w) else 0
    expect_equal(core$h, unname(drop(crossprod(C, d$w * y))), tolerance = 1e-9)
  }
  f <- y ~ x * s + (1 + s | g) + (1 | h)
  part <- function(rows) suppressWarnings(fit_vb(f, d[rows, ], weights = w)$model$gram)
  whole <- fit_vb(f, d, weights = w)
  sum <- add_grams(part(1:150), part(151:400))
  align <- function(gram) { # levels in sorted order
    model <- whole$model # each part has centred its own covariates
    gram <- gram_in(gram, lapply(model$factors, `[[`, "A"), model$coords$basis)
    model$gram <- gram
    A <- dense_of(lmm_core(model))
    o <- order(gram$factors[[2]]$levels) + 4
    l <- order(gram$factors[[1]]$levels)
    p <- c(1:4, o, 4 + length(o) + rep((l - 1) * 2, each = 2) + 1:2)
    A[p, p]
  }
  expect_equal(align(sum), align(whole$model$gram), tolerance = tol_merge)
})
