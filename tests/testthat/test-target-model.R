# target(): what it takes, what it refuses, and in which words.

normal <- function(p) -sum(p$x^2) / 2
normal_gradient <- function(p) list(x = -p$x)
bad <- function(...) expect_error(target(...))

test_that("a target knows its size, names, start and version", {
  t <- target(function(p) -sum(p$b^2) - p$s, list(b = c(u = 1, v = 2), s = 3),
    constraints = list(s = positive()))
  expect_s3_class(t, "meanfield_target")
  expect_identical(t$d, 3L)
  expect_equal(t$init, c(1, 2, log(3)))
  expect_identical(t$names, c("b[u]", "b[v]", "s"))
  expect_identical(t$version, getFromNamespace("FIT_VERSION", "meanfield"))
  expect_null(t$rows)
  expect_equal(t$lp, -5 - 3 + log(3))
})

test_that("the generator is untouched, whether it was used before or not", {
  set.seed(1)
  before <- .Random.seed
  target(normal, list(x = 1:3), normal_gradient)
  target(normal, list(x = 1:3))
  target(function(p) if (p$x[1] > 0) -Inf else normal(p), list(x = c(.5, 2)))
  expect_identical(.Random.seed, before)
})

test_that("functions are refused that are none, or take other arguments", {
  err <- function(...) expect_error(target(...), class = "meanfield_error_target")
  err(init = list(x = 1))
  err(1, list(x = 1))
  err(function() 1, list(x = 1))
  expect_match(conditionMessage(err(function(p, d) 1, list(x = 1))), "`data`", fixed = TRUE)
  # one that does not ask for the data does not get it
  expect_identical(target(normal, list(x = 1), data = list(1))$lp, target(normal, list(x = 1))$lp)
  err(normal, list(x = 1), generated = 3)
  err(normal, list(x = 1), rows = 3)
  err(normal, list(x = 1), log_lik = function(p, i) 0)
  err(normal, list(x = 1), grad_log_lik = function(p, i) 0)
  err(normal, list(x = 1), rows = 3, log_lik = function(p) 0)
  err(normal, list(x = 1), normal_gradient, rows = 3, log_lik = function(p, i) 0)
  expect_error(target(normal, list(x = 1), "RMTB"), class = "meanfield_error_control")
  expect_error(target(normal, list(x = 1), vectorised = NA), class = "meanfield_error_control")
})

test_that("a log density must return one number", {
  err <- function(v, what) {
    e <- expect_error(target(function(p) v, list(x = 1)), class = "meanfield_error_target")
    expect_identical(e$arg, "log_density")
    expect_match(conditionMessage(e), what, fixed = TRUE)
  }
  err(1:2, "integer of length 2")
  err(NULL, "NULL")
  err(1i, "0+1i")
  err("a", "not a")
  err(TRUE, "TRUE")
  err(list(1), "list of length 1")
  expect_identical(target(function(p) matrix(c(a = 1)), list(x = 1))$lp, 1)
  expect_identical(target(function(p) c(a = 2L), list(x = 1))$lp, 2)
})

test_that("init is a named list of finite numbers", {
  err <- function(init, what) {
    e <- expect_error(target(normal, init), class = "meanfield_error_init")
    expect_identical(e$arg, "init")
    expect_match(conditionMessage(e), what, fixed = TRUE)
  }
  err(c(x = 1), "named list")
  err(list(), "named list")
  err(list(1), "name")
  err(list(x = 1, 2), "name")
  err(list(x = 1, x = 2), "more than one element called `x`")
  err(list(x = NULL), "`init$x`")
  err(list(x = 1i), "`init$x`")
  err(list(x = "a"), "`init$x`")
  err(list(x = c(1, NA)), "missing or infinite")
  err(list(x = Inf), "missing or infinite")
  err(list(x = numeric()), "`init$x`")
  err(list(x = factor(1)), "`init$x`")
  err(list(x = array(1, c(2, 2, 2))), "array")
  expect_error(target(normal), class = "meanfield_error_init")
})

test_that("a start outside its constraint, or at its boundary, is refused with a remedy", {
  err <- function(x, constraint, what) {
    e <- expect_error(target(normal, list(x = x), constraints = list(x = constraint)),
      class = "meanfield_error_init")
    expect_match(conditionMessage(e), what, fixed = TRUE)
  }
  err(0, positive(), "greater than 0, and not on the boundary")
  err(-1, positive(), "greater than 0")
  err(2, upper_bounded(2), "less than 2")
  err(c(.5, 1), unit_interval(), "between 0 and 1")
  err(c(1, 1), ordered_vector(), "increasing")
  err(c(0, 1), positive_ordered(), "positive, in increasing order")
  err(c(.5, .6), simplex(), "sum is one")
  err(c(0, 1), simplex(), "positive numbers")
  err(1, simplex(), "leave it out")
  err(diag(1), correlation(), "leave it out")
  err(1:4, correlation(), "square matrix")
  err(diag(2) + 1, correlation(), "diagonal of ones")
  err(matrix(1, 2, 2), correlation(), "positive definite")
  err(matrix(c(1, .5, .5, 1), 2), cholesky_correlation(), "lower triangular")
  err(matrix(c(1, 2, 2, 1), 2), covariance_matrix(), "positive definite")
  err(matrix(1:4, 2), ordered_vector(), "vector, not a matrix")
})

test_that("constraints are a named list of constraints of parameters", {
  err <- function(constraints, what) {
    e <- expect_error(target(normal, list(x = 1), constraints = constraints),
      class = "meanfield_error_constraint")
    expect_match(conditionMessage(e), what, fixed = TRUE)
  }
  err(positive(), "named list")
  err(list(positive()), "name")
  err(list(y = positive()), "names `y`, and `init` has x")
  err(list(x = positive), "call it")
  err(list(x = "positive"), "constructor")
  err(list(x = positive(), x = positive()), "more than one")
  err(list(x = lower_bounded(c(0, -1, 2))), "3 bounds")
})

test_that("a start without density moves to a point near it, or is an error with the value", {
  t <- target(function(p) if (p$x < 3.5) -Inf else -p$x, list(x = 2))
  expect_gt(t$init, 3.5)
  expect_true(is.finite(t$lp))
  expect_output(print(t), "moved")
  none <- expect_error(target(function(p) -Inf, list(x = 2)), class = "meanfield_error_init")
  expect_match(conditionMessage(none), "-Inf at `init`", fixed = TRUE)
  nan <- expect_error(target(function(p) NaN, list(x = 2)), class = "meanfield_error_init")
  expect_match(conditionMessage(nan), "the log density is NaN", fixed = TRUE)
  own <- expect_error(target(function(p) stop("no such thing"), list(x = 2)),
    class = "meanfield_error_init")
  expect_match(conditionMessage(own), "no such thing", fixed = TRUE)
})

test_that("a wrong gradient is an error that names the parameter and both numbers", {
  gradient <- function(p) list(a = -p$a, beta = -p$beta * c(1, 1.01, 1))
  f <- function(p) -sum(unlist(p)^2) / 2
  e <- expect_error(target(f, list(a = 1, beta = c(1, 2, 3)), gradient),
    class = "meanfield_error_gradient")
  expect_match(conditionMessage(e), "`beta[2]`", fixed = TRUE)
  expect_match(conditionMessage(e), "-2.02", fixed = TRUE)
  expect_match(conditionMessage(e), "give -2 ", fixed = TRUE)
  # beyond the coordinates that are looked at one by one
  wide <- function(p) list(x = -p$x * replace(rep(1, 30), 2, 1.5))
  expect_error(target(normal, list(x = seq(1, 2, length.out = 30)), wide), "all parameters together",
    class = "meanfield_error_gradient")
  # right at the start only
  expect_error(target(function(p) -p$x^2, list(x = 1), function(p) list(x = -2)),
    class = "meanfield_error_gradient")
})

test_that("a gradient must be a list of the shapes of init", {
  err <- function(g, what) {
    e <- expect_error(target(normal, list(x = 1:2), g), class = "meanfield_error_gradient")
    expect_match(conditionMessage(e), what, fixed = TRUE)
  }
  err(function(p) -p$x, "named list")
  err(function(p) list(y = 1), "no element `x`")
  err(function(p) list(x = 1), "not 2 numbers")
  err(function(p) list(x = c("a", "b")), "not 2 numbers")
  err(function(p) stop("oh no"), "oh no")
  err(function(p) list(x = c(NaN, 1)), "NaN")
})

test_that("right gradients of badly scaled and large log densities pass", {
  s <- c(1e-6, 1, 1e6)
  f <- function(p) -sum((p$x / s)^2) / 2 + 1e5
  expect_s3_class(target(f, list(x = s * c(1, -2, .5)), function(p) list(x = -p$x / s^2)),
    "meanfield_target")
  cauchy <- function(p) -log1p((p$x * 1e3)^2)
  expect_s3_class(target(cauchy, list(x = .1), function(p) list(x = -2e6 * p$x / (1 + 1e6 * p$x^2))),
    "meanfield_target")
})

test_that("generated quantities must be a named list of numbers", {
  err <- function(v, what) {
    e <- expect_error(target(normal, list(x = 1), generated = function(p) v),
      class = "meanfield_error_target")
    expect_match(conditionMessage(e), what, fixed = TRUE)
  }
  err(3, "named list")
  err(list(3), "named list")
  err(list(a = "b"), "`a` is b")
  err(list(x = 1), "is a parameter")
  expect_error(target(normal, list(x = 1), generated = function(p) stop("argh")), "argh")
})

test_that("variables are named as the user names them", {
  t <- target(function(p) -sum(unlist(p)^2),
    list(a = 1, b = c(1, 2), m = matrix(1:4, 2, dimnames = list(c("p", "q"), NULL)), R = diag(2),
      S = diag(2), L = diag(2), w = c(.5, .5)),
    constraints = list(R = correlation(), S = covariance_matrix(), L = cholesky_correlation(),
      w = simplex()),
    generated = function(p) list(g = c(k = 1, l = 2), h = diag(2), i = TRUE))
  v <- getFromNamespace("variable_table", "meanfield")(t)
  expect_identical(v$variable, c("a", "b[1]", "b[2]", "m[p,1]", "m[q,1]", "m[p,2]", "m[q,2]",
    "R[1,2]", "S[1,1]", "S[1,2]", "S[2,2]", "L[2,1]", "L[2,2]", "w[1]", "w[2]", "g[k]", "g[l]",
    "h[1,1]", "h[2,1]", "h[1,2]", "h[2,2]", "i"))
  expect_identical(t$names, c("a", "b[1]", "b[2]", "m[p,1]", "m[q,1]", "m[p,2]", "m[q,2]",
    "R[1,2]", "S[1,1]", "S[1,2]", "S[2,2]", "L[2,1]", "w[1]"))
  expect_identical(v$kind, rep(c("parameter", "generated"), c(15, 7)))
  expect_identical(v$link[8:15], c("tanh", "exp", "sinh", "exp", "tanh", "beta", "beta", "beta"))
  expect_identical(getFromNamespace("location_names", "meanfield")(t), v$variable[1:15])
})

test_that("links are those that the posteriors know, and names are distinct", {
  t <- target(function(p) -sum(unlist(p)^2), list(a = c(.1, .2, .3), b = 1, c = 2),
    constraints = list(a = bounded(c(-1, 0, 0), c(1, 1, 2)), b = lower_bounded(.5), c = positive()))
  expect_identical(t$variables$link, c("tanh", "beta", "identity", "identity", "exp"))
  expect_error(target(normal, list(x = 1:2, `x[2]` = 1)), "two variables are called `x[2]`",
    fixed = TRUE, class = "meanfield_error_init")
  expect_error(target(normal, list(x = 1:2), generated = function(p) list(`x[2]` = 1)),
    "two variables", class = "meanfield_error_init")
})

test_that("a target of another version is refused", {
  valid <- getFromNamespace("valid_target", "meanfield")
  t <- target(normal, list(x = 1))
  expect_identical(valid(t), t)
  expect_error(valid(replace(t, "version", list(1L))), "another version",
    class = "meanfield_error_fit")
  expect_error(valid(3), "target()", class = "meanfield_error_target")
})

test_that("print says what the target is", {
  t <- target(function(p, data) -sum((data$y - p$m)^2) / p$s, list(m = 0, s = 1),
    constraints = list(s = positive()), data = list(y = 1:3), gradient = "differences",
    generated = function(p, data) list(ratio = p$m / p$s))
  out <- capture.output(print(t))
  expect_match(out[1L], "2 unconstrained coordinates")
  expect_match(out[3L], "s +1 +positive")
  for (word in c("ratio", "Data +y", "central differences, 4 values", "-14")) {
    expect_match(paste(out, collapse = "\n"), word)
  }
})
