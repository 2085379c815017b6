# Model frames and matrices that are made without model.frame() and model.matrix(): what those give.

every_kind <- function(n = 24L) {
  x <- seq_len(n)
  d <- data.frame(y = sin(x), x = cos(x), i = x, l = x %% 2 == 0, ch = letters[x %% 3 + 1])
  d$f <- factor(d$ch, levels = c("c", "b", "a", "unused"))
  d$o <- factor(d$ch, ordered = TRUE)
  d$own <- structure(d$f, contrasts = "contr.sum")
  d$none <- addNA(factor(replace(d$ch, 3, NA)))
  d$`a b` <- x / 3
  d$inf <- replace(d$x, 2, Inf)
  d$m <- cbind(u = d$x, v = d$y)
  d$day <- as.Date("2020-01-01") + x
  d$series <- stats::ts(x)
  d$box <- array(x, c(n, 2L, 1L))
  d$text <- cbind(d$ch)
  d$mine <- structure(cbind(x, x), class = "a_class_of_its_own")
  d$gap <- replace(d$x, 5, NA)
  d$lost <- replace(d$f, 5, NA)
  d
}

frame_of <- function(formula, data) stats::model.frame(formula, data, drop.unused.levels = FALSE)

expect_same_frame <- function(formula, data) {
  mine <- plain_frame(formula, data)
  expect_false(is.null(mine), label = deparse1(formula))
  expect_identical(mine, frame_of(formula, data), label = deparse1(formula))
}

test_that("a plain model frame is that of model.frame()", {
  d <- every_kind()
  for (v in c("x", "i", "l", "ch", "f", "o", "own", "none", "a b", "inf", "m")) {
    expect_same_frame(eval(call("~", quote(y), call("+", as.name(v), quote(f)))), d)
  }
  shift <- 3
  for (f in c(y ~ 1, y ~ 0 + x, y ~ x * f - x, cbind(y, x) ~ f:l, log(i) ~ x + offset(i / 2),
    cbind(a = i, 30 - i) ~ log(`a b`) + ifelse(l, x, shift), m ~ abs(x) + as.character(f))) {
    expect_same_frame(f, d)
  }
  named <- d[c("y", "x", "f")]
  rownames(named) <- paste0("row", seq_len(nrow(d)))
  classed <- structure(named, class = c("a_class_of_its_own", "data.frame"))
  for (other in list(named, named[5:9, ], named[0, ], classed)) {
    expect_same_frame(y ~ x + f, other)
  }
})

test_that("what model.frame() has to look after is left to it", {
  d <- every_kind()
  somewhere <- seq_len(nrow(d))
  for (f in c(y ~ day, y ~ series, y ~ mine, y ~ box, y ~ text, y ~ gap, y ~ lost, y ~ scale(x),
    y ~ poly(x, 2), y ~ I(x^2), y ~ somewhere, y ~ exp(gap), y ~ sum(x))) {
    expect_null(plain_frame(f, d), label = deparse1(f))
  }
  expect_null(plain_frame(y ~ x, as.list(d)))
  expect_null(plain_frame(y ~ x, NULL))
  withr::with_options(list(na.action = function(object) object[1:3, ]),
    expect_null(plain_frame(y ~ x, d)))
  # so that parameters made from other rows are kept
  expect_null(plain_frame(stats::terms(frame_of(y ~ x, d)), d))
  expect_equal(nobs(fit_vb(y ~ gap + lost, d)), nrow(d) - 1L)
  expect_equal(nobs(fit_vb(y ~ x, d, subset = i > 3)), nrow(d) - 3L)
  expect_error(fit_vb(y ~ stop("no such"), d), "no such", class = "meanfield_error_data")
})

test_that("a matrix of numbers is that of model.matrix()", {
  d <- every_kind()
  for (f in c(y ~ x, y ~ 1, y ~ 0, y ~ 0 + x + i, y ~ x + offset(i) + inf, y ~ log(i) + x)) {
    frame <- frame_of(f, d)
    mine <- number_matrix(attr(frame, "terms"), frame)
    whole <- stats::model.matrix(f, frame)
    expect_identical(attr(mine, "assign"), attr(whole, "assign"), label = deparse1(f))
    expect_identical(colnames(mine), colnames(whole), label = deparse1(f))
    expect_identical(c(mine), c(whole), label = deparse1(f))
  }
  for (f in c(y ~ f, y ~ l, y ~ ch, y ~ m, y ~ x:i, y ~ x * i, y ~ day, y ~ I(x^2), y ~ `a b`,
    y ~ y + x)) {
    frame <- frame_of(f, d)
    expect_null(number_matrix(attr(frame, "terms"), frame), label = deparse1(f))
  }
})

test_that("terms of a part of a frame keep parameters, classes and levels", {
  d <- every_kind()
  frame <- frame_of(y ~ poly(x, 2) + f + ch + log(i), d)
  tt <- safe_terms(y ~ ch + poly(x, 2) + f, frame)
  whole <- attr(frame, "terms")
  own <- as.list(attr(whole, "predvars"))[c(1, 2, 5, 3, 4)]
  expect_identical(as.list(attr(tt, "predvars")), own)
  expect_setequal(names(attr(tt, "dataClasses")), c("y", "ch", "poly(x, 2)", "f"))
  expect_identical(x_levels(tt, frame)[c("ch", "f")], stats::.getXlevels(tt, frame)[c("ch", "f")])
  expect_length(x_levels(tt, frame), 2L)
  expect_null(x_levels(safe_terms(f ~ x, frame_of(f ~ x, d)), frame_of(f ~ x, d)))
})

test_that("defaults that are made once are those of the constructors", {
  expect_identical(default_priors(), priors(beta = NULL))
  expect_identical(vb_control(), vb_control(tol = 1e-10, max_iter = 1000L))
})

test_that("contrasts of a factor are a set of their own", {
  d <- every_kind()
  sets <- function(formula) {
    frame <- frame_of(formula, d)
    unname(contrast_sets(stats::model.matrix(formula, frame), attr(frame, "terms"), frame))
  }
  d$f <- factor(d$ch)
  d$three <- factor(d$i %% 4)
  expect_equal(sets(y ~ x + f + three), list(3:4, 5:7))
  expect_equal(sets(y ~ 0 + f + three + x), list(4:6))
  expect_equal(sets(y ~ f * x), list(2:3, 5:6))
  expect_equal(sets(y ~ m + f), list(4:5))
})
