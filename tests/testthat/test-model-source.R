# Sums as a source: what is fitted chunk by chunk is the fit of all the rows.

chunk_data <- function(n = 240) {
  set.seed(41)
  d <- data.frame(x = rnorm(n, 5), big = rnorm(n, 1e6), o = rnorm(n), w = rexp(n),
    f = factor(sample(c("a", "b", "c"), n, TRUE)), t = sample(c("u", "v"), n, TRUE),
    g = sample(letters[1:6], n, TRUE), h = sample(c(2:9, 10:30), n, TRUE),
    k = factor(sample(LETTERS[4:1], n, TRUE), levels = LETTERS[4:1]))
  d$y <- rnorm(6)[factor(d$g)] + d$x + rnorm(30)[d$h] + rnorm(n)
  d$w[d$k == "B"][1:2] <- 0
  d
}
d <- chunk_data()
# uneven, and each without some levels of h
chunks <- split(d, (d$h > 12) + (d$h > 20 & d$x > 5))

# The grams of the chunks: formula and other arguments as in a call.
chunk_grams <- function(call, parts = chunks) {
  call[[1L]] <- quote(gram)
  lapply(parts, function(part) eval(replace(call, "data", list(part)), globalenv()))
}

# SDs and correlations of vector terms are summarised by draws, along eigenvectors whose signs are
# those of rounding: rows in another order give others too. Integrated fits have them exactly.
drawn <- function(fit, variable) {
  is.null(fit$integrated) & grepl("^rho_u|sigma_u\\[.*:", variable)
}
seeded <- function(expr) {
  set.seed(6)
  expr
}

# Largest differences of two fits: means in SDs, SDs, evidence.
differences <- function(a, b, pars = "u") {
  s <- seeded(summary(a, pars = pars))
  t <- seeded(summary(b, pars = pars))
  expect_identical(t$variable, s$variable)
  known <- !is.na(s$sd) & s$sd > 0 & !drawn(a, s$variable)
  c(max(abs(t$mean - s$mean)[known] / s$sd[known]), max(abs(t$sd / s$sd - 1)[known]),
    abs(a$vb$elbo - b$vb$elbo))
}

model_calls <- list(
  quote(fit_vb(y ~ x, data = d)),
  quote(fit_vb(y ~ x * f + big + (1 | g), data = d)),
  quote(fit_vb(y ~ x * f + (1 + x | g) + (1 | h), data = d, weights = w, offset = o)),
  quote(fit_vb(y ~ 0 + f + (x * o | g), data = d, integrate = "no")),
  quote(fit_vb(y ~ x + (x || g) + (1 | g:k), data = d, weights = w, integrate = "no")),
  quote(fit_vb(y ~ x + (1 | k / t), data = d, blocks = "separate")),
  quote(fit_vb(y ~ x + t + (1 + f | g), data = d, contrasts = list(t = "contr.sum"),
    integrate = "no")),
  quote(fit_vb(y ~ x + (0 + x + o | g), data = d, prior = priors(beta = flat_prior(),
    tau_u = list(g = wishart_prior(4, diag(2)))))),
  quote(fit_vb(log(x) ~ I(big - 1e6) + log(w + 1) + (1 | k), data = d, subset = o < 1))
)

test_that("chunks give the fit of all the rows, in any order", {
  e <- list2env(list(d = d), parent = globalenv())
  for (call in model_calls) {
    whole <- eval(call, e)
    of_rows <- c("", "weights", "offset", "subset", "contrasts")
    own <- call[names(call) %in% of_rows]
    grams <- chunk_grams(own)
    of_fit <- as.list(call)[setdiff(names(call), c(of_rows, "data"))]
    for (sums in list(Reduce(`+`, grams), grams[[3]] + (grams[[1]] + grams[[2]]))) {
      fit <- eval(as.call(c(quote(fit_vb), list(sums), of_fit)))
      expect_true(all(differences(whole, fit) < 1e-9), label = deparse1(call))
      expect_equal(vcov(fit), vcov(whole), tolerance = 1e-9)
      new <- d[5:9, ]
      expect_equal(predict(fit, new), predict(whole, new), tolerance = 1e-9)
      expect_equal(nobs(fit), nobs(whole))
      expect_equal(prior_summary(fit), prior_summary(whole))
    }
  }
})

test_that("every engine fits sums, and what needs no row is as in a fit of rows", {
  f <- y ~ x * f + (1 + x | g)
  sums <- sum(gram(f, chunks[[1]]), gram(f, chunks[[2]]), gram(f, chunks[[3]]))
  whole <- fit_exact(f, d)
  exact <- fit_exact(sums)
  expect_lt(max(differences(whole, exact)), 1e-9)
  expect_equal(exact$log_evidence, whole$log_evidence, tolerance = 1e-12)
  expect_equal(ranef(exact), ranef(whole), tolerance = 1e-9)
  expect_equal(VarCorr(exact), VarCorr(whole), tolerance = 1e-9, ignore_attr = TRUE)
  expect_equal(hypothesis(exact, "x > 1"), hypothesis(whole, "x > 1"), tolerance = 1e-8)
  expect_equal(confint(exact), confint(whole), tolerance = 1e-8)
  draw <- function(object, ...) {
    seeded(suppressWarnings(fit_gibbs(object, chains = 1, iter = 150, warmup = 50, ...)))
  }
  expect_equal(summary(draw(sums))$mean, summary(draw(f, data = d))$mean, tolerance = 1e-6)
  expect_lt(max(differences(fit_vb(f, d), fit_vb(exact))), 1e-9)
  expect_s3_class(suppressWarnings(fit_gibbs(exact, chains = 1, iter = 60, warmup = 50)),
    "gibbs_fit")
})

test_that("the icc, and what weights and offset do to new rows, are kept", {
  f <- y ~ x + (1 | g)
  part <- function(d) gram(f, d, weights = w, offset = o)
  sums <- Reduce(`+`, lapply(chunks, part))
  whole <- fit_vb(f, d, weights = w, offset = o)
  fit <- fit_vb(sums)
  expect_equal(seeded(icc(fit)), seeded(icc(whole)), tolerance = 1e-9)
  new <- replace(d[1:5, ], "o", 100)
  expect_equal(predict(fit, new), predict(whole, new), tolerance = 1e-9)
})

test_that("what needs rows says that a fit of sums has none", {
  fit <- fit_vb(gram(y ~ x + (1 | g), d))
  needing <- list(fitted, residuals, model.frame, model.matrix, simulate, case.names, deviance,
    augment, predict, log_lik.meanfield_fit, posterior_predict.meanfield_fit)
  for (f in needing) {
    expect_error(f(fit), "holds no rows.*newdata.*fit by formula", class = "meanfield_error_data")
  }
  expect_equal(nrow(augment(fit, newdata = d[1:3, ])), 3)
  expect_error(update(fit, . ~ . + o), "gram", class = "meanfield_error_formula")
  expect_error(fit_vb(gram(y ~ x, d), family = poisson()), class = "meanfield_error_family")
  expect_error(fit_vb(gram(y ~ x, d), weights = w), class = "meanfield_error_control")
})

test_that("update() makes the fit of sums again, wherever they are", {
  sums <- gram(y ~ x + (1 | g), d)
  fit <- fit_vb(sums)
  other <- priors(tau_u = gamma_prior(2, 1))
  again <- update(fit, prior = other)
  expect_equal(summary(again), summary(fit_vb(y ~ x + (1 | g), d, prior = other)),
    tolerance = 1e-9)
  inside <- (function(z) fit_vb(z))(sums)
  rm(sums)
  expect_equal(summary(update(inside, prior = other)), summary(again))
  expect_s3_class(update(fit_exact(inside), tol = 1e-3), "exact_fit")
})

test_that("bases that depend on the rows come from the first chunk, or are refused", {
  f <- y ~ poly(x, 2) + scale(o) + (1 | g)
  first <- gram(f, chunks[[1]])
  expect_error(first + gram(f, chunks[[2]]), "poly\\(x, 2\\).*like = ",
    class = "meanfield_error_gram")
  rest <- lapply(chunks[2:3], function(part) gram(like = first, data = part))
  all <- fit_vb(Reduce(`+`, rest, first), prior = priors(beta = flat_prior()))
  whole <- fit_vb(f, d, prior = priors(beta = flat_prior()))
  # another basis, but the same functions and predictions
  expect_equal(predict(all, d), predict(whole, d), tolerance = 1e-8)
  expect_equal(Reduce(`+`, rest, first)$n, nrow(d))
})

test_that("like = takes weights, offset, subset and levels of the first", {
  first <- gram(y ~ x + t, chunks[[1]], weights = w, offset = o, subset = x > 4.5,
    xlevels = list(t = c("v", "u")))
  expect_equal(gram(like = first, data = chunks[[2]]),
    gram(y ~ x + t, chunks[[2]], weights = w, offset = o, subset = x > 4.5,
      xlevels = list(t = c("v", "u"))))
  plain <- gram(like = first, data = chunks[[2]], subset = TRUE)
  expect_equal(nobs(plain), sum(chunks[[2]]$w > 0))
  expect_error(gram(y ~ x, chunks[[1]], like = first), class = "meanfield_error_gram")
  expect_error(gram(like = 3, data = d), class = "meanfield_error_gram")
})

test_that("columns that depend on other rows are refused, others are not", {
  whole <- list(y ~ I(x - mean(x)), y ~ cut(x, 3), y ~ I(x > mean(x)), y ~ rank(x),
    y ~ I(poly(x, 2)), y ~ x + (1 | cut(x, 3)), y ~ x + (I(x / max(x)) | g), y ~ cumsum(o),
    y ~ I(o * (x > median(x))), y ~ x + offset(o - mean(o)))
  for (f in whole) {
    expect_error(gram(f, d), "depends on more than its own row", class = "meanfield_error_gram")
    expect_error(gram(f, d[1, ]), class = "meanfield_error")
  }
  expect_error(gram(y ~ x, d, weights = w / mean(w)), class = "meanfield_error_gram")
  expect_error(gram(y ~ x, d, offset = o - mean(o)), class = "meanfield_error_gram")
  expect_error(gram(y ~ x, d, subset = x > mean(x)), class = "meanfield_error_gram")
  power <- 2
  z <- d$x
  for (f in list(y ~ I(x^power), y ~ log(w + 1) + (1 | factor(h)), y ~ pmin(x, o), y ~ z,
    y ~ ifelse(x > 5, "low", "high"), y ~ (o > 0) + (1 | g:k2), y ~ splines::ns(x, 3))) {
    expect_s3_class(gram(f, cbind(d, k2 = d$k)), "meanfield_gram")
  }
  expect_equal(nobs(gram(y ~ x, d, subset = 1:10)), 10)
  expect_equal(nobs(gram(y ~ x, d, subset = which(x > 5))), sum(d$x > 5))
})

test_that("levels of predictors are the same in every chunk or refused", {
  few <- d[d$t == "u" & d$f != "b", ]
  expect_error(gram(y ~ t, few), "xlevels", class = "meanfield_error_gram")
  expect_error(gram(y ~ ifelse(o > 0, t, "u"), few), "xlevels", class = "meanfield_error_gram")
  more <- transform(d, t = replace(t, 1:9, "s"))
  expect_error(gram(y ~ t, d) + gram(y ~ t, more), "\"s\", \"u\", \"v\"",
    class = "meanfield_error_gram")
  given <- list(t = c("s", "u", "v"))
  sums <- gram(y ~ t + f, few, xlevels = given) + gram(y ~ t + f, more, xlevels = given)
  expect_lt(max(differences(fit_vb(y ~ t + f, rbind(few, more)), fit_vb(sums))), 1e-9)
  expect_error(gram(y ~ t, more, xlevels = list(t = c("u", "v"))), class = "meanfield_error_gram")
  expect_error(gram(y ~ t, d, xlevels = list(x = "a")), class = "meanfield_error_gram")
  expect_error(gram(y ~ t, d, xlevels = c("u", "v")), class = "meanfield_error_gram")
  expect_warning(fit_vb(gram(y ~ t, d, xlevels = given)), class = "meanfield_warning_levels")
})

test_that("grams of different models are not added", {
  coded <- function(how) gram(y ~ f, d, contrasts = list(f = how)) # columns f1 and f2 of both
  expect_error(coded("contr.sum") + coded("contr.helmert"), class = "meanfield_error_gram")
  a <- gram(y ~ x + f + (1 | g), d)
  wide <- replace(d, "x", list(cbind(one = d$x, two = d$o)))
  expect_error(a + gram(y ~ x + f + (1 | g), wide), "no column x",
    class = "meanfield_error_gram")
  other <- list(gram(y ~ x + f, d), gram(y ~ x + f + (1 | k), d), NULL, 1, unclass(a),
    gram(y ~ x + f + (1 | g), d, contrasts = list(f = "contr.sum")),
    gram(y ~ x + f + (1 | g), d, offset = o),
    gram(y ~ x + f + (1 | g), transform(d, x = x > 5)),
    gram(y ~ x + f + (1 | g), transform(d, x = t)),
    gram(y ~ x + f + (1 | g), transform(d, f = factor(f, levels = c("c", "b", "a")))))
  for (b in other) {
    expect_error(a + b, class = "meanfield_error_gram")
    expect_error(b + a, class = "meanfield_error_gram")
  }
})

test_that("odd chunks: one row, no row, weights of zero, missing values, overflow", {
  f <- y ~ x + (1 | g)
  ones <- lapply(seq_len(20), function(i) gram(f, d[i, ]))
  expect_lt(max(differences(fit_vb(f, d[1:20, ]), fit_vb(Reduce(`+`, ones)))), 1e-9)
  bare <- y ~ 0 + (1 | g)
  halves <- gram(bare, chunks[[1]]) + gram(bare, chunks[[2]])
  expect_lt(max(differences(fit_vb(bare, rbind(chunks[[1]], chunks[[2]])), fit_vb(halves))), 1e-9)
  expect_error(gram(f, d[0, ]), class = "meanfield_error_data")
  expect_error(gram(f, d, weights = 0 * w), class = "meanfield_error_weights")
  holes <- replace(d, "x", list(replace(d$x, 3:7, NA)))
  expect_equal(nobs(gram(f, holes)), nrow(d) - 5)
  still <- transform(d, y = 5)
  expect_error(fit_vb(gram(f, still)), class = "meanfield_error_response")
  expect_error(gram(f, transform(d, y = y * 1e200)), class = "meanfield_error_data")
  near <- gram(f, transform(d, y = y * 3e152))
  expect_error(near + gram(f, transform(d, y = y * -3e152)), class = "meanfield_error_data")
  far <- fit_vb(gram(y ~ x, chunks[[1]], offset = o + 1e9) + gram(y ~ x, chunks[[2]],
    offset = o + 1e9))
  expect_lt(max(differences(fit_vb(y ~ x, rbind(chunks[[1]], chunks[[2]]), offset = o + 1e9), far)),
    1e-6) # a rounding of 1e-7 in y - offset
})

test_that("a gram keeps no row, and can be saved", {
  part <- function(d) gram(y ~ poly(x, 2) + (1 | g), d)
  sums <- part(d)
  expect_identical(ls(environment(formula(sums))), character())
  expect_lt(length(serialize(sums, NULL)), 30000)
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(sums, file)
  expect_equal(summary(fit_vb(readRDS(file))), summary(fit_vb(sums)))
  expect_equal(nobs(readRDS(file) + sums), 2 * nrow(d))
  knot <- 4
  local <- (function(cut) gram(y ~ I(x > cut), d))(knot)
  expect_equal(unname(predict(fit_vb(local), data.frame(x = 5))),
    unname(predict(fit_vb(y ~ I(x > 4), d), data.frame(x = 5))), tolerance = 1e-9)
})

test_that("a gram that was changed is refused", {
  sums <- gram(y ~ x + (1 + x | g) + (1 | k), d)
  refused <- function(bad) {
    expect_error(fit_vb(bad), class = "meanfield_error_gram")
    expect_error(bad + sums, class = "meanfield_error_gram")
  }
  for (part in setdiff(names(sums), c("class", "schema"))) refused(replace(sums, part, list(NULL)))
  for (part in c("n", "sum_w", "cross")) refused(replace(sums, part, list(-sums[[part]])))
  for (part in c("layout", "formula", "terms", "constant", "factors", "frame_terms", "levels")) {
    bad <- sums
    bad$schema[[part]] <- "other"
    refused(bad)
  }
  twice <- sums
  twice$factors[[1]]$levels[2] <- twice$factors[[1]]$levels[1]
  refused(twice)
  beyond <- sums
  beyond$cross[2, 3] <- beyond$cross[3, 2] <- 2 * sqrt(prod(diag(sums$cross)[2:3]))
  refused(beyond)
  fit <- fit_vb(sums)
  fit$model$source <- "table"
  expect_error(summary(fit), class = "meanfield_error_fit")
})

test_that("a gram prints, and knows its formula and rows", {
  sums <- gram(y ~ x + (1 | g), d)
  expect_output(print(sums), "y ~ x \\+ \\(1 \\| g\\).*240 rows, 2 columns; g: 6 groups")
  expect_equal(formula(sums), y ~ x + (1 | g), ignore_attr = TRUE)
  sums$n <- 3e9
  expect_equal(nobs(sums), 3e9)
})

test_that("every method of a fit of sums does what it does for a fit of rows, or says it has none", {
  skip_on_cran()
  d <- matrix_data()
  other <- "emm_table|update[(]fit, [.] ~" # emmeans has words of its own; update: see above
  rows <- Filter(function(row) !grepl(other, row$label), matrix_model_rows)
  cells <- all_matrix_cells()
  cells <- cells[cells$structure == "slopes" & cells$response == "gaussian" &
    cells$engine %in% c("vb", "exact", "gibbs"), ]
  for (i in seq_len(nrow(cells))) {
    scope <- cell_scope(cells[i, ], d, environment())
    sums <- gram(cell_formula(cells[i, ]), d[1:25, ]) + gram(cell_formula(cells[i, ]), d[26:60, ])
    engine <- matrix_engines[[cells$engine[i]]]
    set.seed(1)
    scope$fit <- suppressWarnings(do.call(as.character(engine$fun), c(list(sums), engine$args)))
    for (row in Filter(function(row) row_applies(row, scope), rows)) {
      said <- run_matrix_row(row, scope)
      expect(said == "" || grepl("holds no rows", said),
        paste(cells$engine[i], row$label, said))
    }
  }
})
