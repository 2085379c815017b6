# Each constraint: map, log Jacobian and pulled gradient against differences, round trips, overflow.



Omega <- matrix(c(1, .5, -.3, .2, .5, 1, .1, 0, -.3, .1, 1, .4, .2, 0, .4, 1), 4)
cases <- list(
  none = list(c(-1, 2), NULL),
  positive = list(c(.5, 3), positive()),
  lower = list(matrix(c(2, 3, 1.5, 9), 2), lower_bounded(c(1, 2, -3, 0))),
  upper = list(c(-4, 1), upper_bounded(2)),
  bounded = list(c(-.5, 3, .9), bounded(c(-1, -2, 0), c(4, 5, 1))),
  unit = list(.3, unit_interval()),
  ordered = list(c(-2, .5, .7, 4), ordered_vector()),
  positive_ordered = list(c(.1, .5, 4), positive_ordered()),
  simplex = list(c(.1, .5, .15, .25), simplex()),
  simplex2 = list(c(.9, .1), simplex()),
  correlation = list(Omega, correlation()),
  correlation2 = list(matrix(c(1, -.8, -.8, 1), 2), correlation()),
  cholesky = list(t(chol(Omega)), cholesky_correlation()),
  covariance = list(Omega * tcrossprod(c(1, .1, 3, 2)), covariance_matrix()),
  covariance1 = list(matrix(2), covariance_matrix())
)

block_of <- function(case) {
  constrained_block("x", case[[1L]], case[[2L]] %||% unconstrained())
}
`%||%` <- function(a, b) if (is.null(a)) b else a

shape_of <- function(block) transform_shape(list(block))
map_of <- function(shape, z) call_bb_transform(shape, matrix(z))

differences <- function(f, z, h = 1e-5) {
  sapply(seq_along(z), function(j) {
    e <- replace(numeric(length(z)), j, h)
    (8 * (f(z + e / 2) - f(z - e / 2)) - (f(z + e) - f(z - e))) / (6 * h)
  })
}

# The elements by which the density is one.
density_elements <- function(block) {
  K <- block$size
  M <- matrix(seq_len(K^2), K)
  switch(block$kind, simplex = seq_len(K - 1), correlation = , cholesky = M[lower.tri(M)],
    covariance = M[lower.tri(M, TRUE)], seq_along(block$value))
}

for (name in names(cases)) local({
  block <- block_of(cases[[name]])
  shape <- shape_of(block)
  z0 <- call_bb_untransform(shape, c(block$value))
  points <- list(z0, z0 + .3 * sin(seq_along(z0)), 2 * cos(3 * seq_along(z0)))

  test_that(paste("map, Jacobian and pulled gradient are those of differences:", name), {
    expect_equal(c(map_of(shape, z0)$x), c(block$value), tolerance = 1e-12)
    at <- density_elements(block)
    expect_length(z0, length(at))
    a <- sin(3 * seq_along(block$value))
    for (z in points) {
      J <- matrix(differences(function(z) map_of(shape, z)$x[at], z), length(at))
      lj <- map_of(shape, z)$log_jacobian
      expect_equal(lj, as.double(determinant(J)$modulus), tolerance = 1e-7)
      lp <- function(z) {
        m <- map_of(shape, z)
        sum(a * m$x + m$x^2 / 3) + m$log_jacobian
      }
      x <- map_of(shape, z)$x
      pulled <- call_bb_pull(shape, matrix(z), a + 2 * x / 3)
      expect_equal(c(pulled), c(differences(lp, z)), tolerance = 1e-7)
    }
  })

  test_that(paste("points lie inside and come back:", name), {
    for (z in points) {
      x <- map_of(shape, z)$x
      dim(x) <- dim(block$value)
      expect_null(outside(block$kind, x, block$low, block$high))
      expect_equal(call_bb_untransform(shape, c(x)), z, tolerance = 1e-9)
    }
  })

  test_that(paste("nothing becomes NaN far out:", name), {
    d <- length(z0)
    for (size in c(30, 300, 800, 1e5, 1e300)) {
      Z <- size * cbind(rep(1, d), rep(-1, d), rep_len(c(1, -1), d), rep_len(c(-1, 1, 1), d))
      expect_false(anyNA(call_bb_transform(shape, Z)$log_jacobian))
    }
  })
})

test_that("small probabilities keep their digits", {
  shape <- shape_of(block_of(cases$simplex))
  x <- c(1e-12, 1e-200, 1 - 3e-12, 2e-12)
  z <- call_bb_untransform(shape, x)
  expect_equal(c(map_of(shape, z)$x) / x, rep(1, 4), tolerance = 1e-9)
})

test_that("correlation matrices are symmetric with a diagonal of ones, to the last digit", {
  shape <- shape_of(block_of(cases$correlation))
  X <- matrix(map_of(shape, 2 * cos(1:6))$x, 4)
  expect_identical(X, t(X))
  expect_identical(diag(X), rep(1, 4))
  expect_true(min(eigen(X)$values) > 0)
})

test_that("blocks stand one after the other, for several points", {
  blocks <- lapply(cases, block_of)
  shape <- transform_shape(unname(blocks))
  z <- call_bb_untransform(shape, unlist(lapply(cases, `[[`, 1L)))
  Z <- cbind(z, z + .1, deparse.level = 0)
  all <- call_bb_transform(shape, Z)
  to <- cumsum(vapply(blocks, n_free, 1L))
  one <- Map(function(block, to) {
    map_of(shape_of(block), Z[seq.int(to - n_free(block) + 1L, to), 2L])
  }, blocks, to)
  expect_identical(all$x[, 2L], unlist(lapply(one, `[[`, "x"), use.names = FALSE))
  expect_equal(all$log_jacobian[2L], sum(vapply(one, `[[`, 0, "log_jacobian")), tolerance = 1e-14)
})

test_that("bad bounds are refused by name", {
  expect_error(lower_bounded("a"), "`a`", class = "meanfield_error_constraint")
  expect_error(upper_bounded(Inf), "`b`", class = "meanfield_error_constraint")
  expect_error(upper_bounded(), "`b`", class = "meanfield_error_constraint")
  expect_error(bounded(1, 1), "less than", class = "meanfield_error_constraint")
  expect_error(bounded(1:2, 4:6), "same length", class = "meanfield_error_constraint")
  expect_output(print(bounded(0, 2)), "in (0, 2)", fixed = TRUE)
})

test_that("the core refuses shapes and points that do not fit", {
  shape <- shape_of(block_of(cases$simplex))
  call <- call_bb_transform
  expect_error(call(shape, matrix(0, 4, 1)), "Z", class = "meanfield_error_internal")
  expect_error(call(replace(shape, "kind", list(99L)), matrix(0, 3, 1)), "kind")
  expect_error(call(replace(shape, "size", list(0L)), matrix(0, 3, 1)), "size")
  expect_error(call(replace(shape, "low", list(1)), matrix(0, 3, 1)), "low")
  expect_error(call_bb_pull(shape, matrix(0, 3, 1), matrix(0, 3, 1)), "G")
  expect_error(call_bb_untransform(shape, 1), "x", class = "meanfield_error_internal")
  expect_error(call_bb_points(list(a = 1L), matrix(0, 1, 1)), "skeleton")
})
