# Every record of a family against its own definition: what it says of a response must agree with
# sums or integrals of its log likelihood.

families <- FAMILIES
rows_families <- Filter(function(f) f$engine == "rows", families)

# A lead where the family has one, trials where it counts them.
lead_of_record <- function(f) if (!is.null(f$lead)) 2.3
trials_of_record <- function(f) if (f$trials) 7 else 1
mean_of_record <- function(f, eta) f$make()$linkinv(eta)

# The y that a response can be, on the scale of draws, with the step between them; a fine grid where
# they are real numbers.
support <- function(f, eta) {
  if (f$trials) return(list(y = 0:trials_of_record(f), w = 1))
  if (isTRUE(f$whole)) return(list(y = 0:2000, w = 1))
  ends <- if (f$engine == "gram") eta + c(-12, 12) else {
    at <- list(1, mean_of_record(f, eta), lead_of_record(f))
    c(do.call(f$bottom, at), do.call(f$top, at))
  }
  step <- diff(ends) / 5e4
  list(y = ends[1] + step * (seq_len(5e4) - 0.5), w = step)
}

record_density <- function(f, eta, y) {
  n <- length(y)
  lead <- lead_of_record(f)
  f$log_lik(y, rep(trials_of_record(f), n), rep(eta, n), if (!is.null(lead)) rep(lead, n))
}

for_records <- function(records, check) {
  for (f in records) for (eta in c(-1.2, 0.4, 1.5)) check(f, eta, mean_of_record(f, eta), f$name)
}

test_that("the likelihood is a distribution with the mean and variance of the record", {
  for_records(families, function(f, eta, mu, info) {
    s <- support(f, eta)
    p <- exp(record_density(f, eta, s$y)) * s$w
    share <- s$y / trials_of_record(f)
    expect_equal(sum(p), 1, tolerance = 1e-8, info = info)
    expect_equal(sum(p * share), mu, tolerance = 1e-8, info = info)
    variance <- f$variance(mu, lead_of_record(f)) / trials_of_record(f)
    expect_equal(sum(p * (share - mu)^2), variance, tolerance = 1e-6, info = info)
  })
})

test_that("draws have that mean and variance", {
  set.seed(1)
  n <- 2e5
  for_records(families, function(f, eta, mu, info) {
    size <- trials_of_record(f)
    lead <- lead_of_record(f)
    y <- f$draw(rep(mu, n), rep(size, n), if (!is.null(lead)) rep(lead, n)) / size
    v <- f$variance(mu, lead) / size
    expect_lt(abs(mean(y) - mu), 5 * sqrt(v / n))
    expect_equal(var(y), v, tolerance = 0.04, info = info)
  })
})

test_that("weights scale the log likelihood, or the precision where sums are sufficient", {
  for (f in Filter(function(f) !f$trials, rows_families)) {
    expect_equal(f$log_lik(3, 2.5, 0.7, 2.3), 2.5 * f$log_lik(3, 1, 0.7, 2.3))
  }
  f <- families$gaussian
  expect_equal(f$log_lik(3, 2.5, 0.7, 2.3), f$log_lik(3, 1, 0.7, 2.5 * 2.3))
  set.seed(1)
  y <- f$draw(numeric(1e5), rep(c(4, 0), 5e4), 1)
  expect_equal(c(sd(y, na.rm = TRUE), mean(is.na(y))), c(0.5, 0.5), tolerance = 0.02)
})

test_that("the distribution function sums the likelihood and ends where it says", {
  for_records(rows_families, function(f, eta, mu, info) {
    size <- trials_of_record(f)
    lead <- lead_of_record(f)
    s <- support(f, eta)
    y <- s$y + if (f$whole) 0 else s$w / 2
    below <- f$cdf(y, rep(size, length(y)), rep(mu, length(y)), lead)
    sums <- cumsum(exp(record_density(f, eta, s$y)) * s$w)
    expect_equal(below, sums, tolerance = 1e-7, info = info)
    expect_gt(f$cdf(f$top(size, mu, lead), size, mu, lead), 1 - 1e-10)
    expect_identical(f$cdf(f$bottom(size, mu, lead), size, mu, lead), 0)
  })
})

test_that("noise is the SD of a response on the scale of the predictor", {
  for_records(rows_families, function(f, eta, mu, info) {
    size <- trials_of_record(f)
    sd <- sqrt(f$variance(mu, lead_of_record(f)) / size)
    expect_equal(f$noise(size, mu, lead_of_record(f)), sd / f$make()$mu.eta(eta), info = info)
  })
})

test_that("deviances are twice what is lost of the log likelihood, and zero at saturation", {
  for (f in families) {
    size <- trials_of_record(f)
    lead <- if (f$engine == "gram") 1 else lead_of_record(f) # residuals are not over sigma
    y <- c(1, 3, 5)
    own <- y / size
    at <- function(mu) f$log_lik(y, rep(size, 3), f$make()$linkfun(mu), rep(lead, 3))
    expect_equal(f$deviance(own, own, rep(size, 3), lead), numeric(3), info = f$name)
    mu <- own * c(0.8, 1.1, 1.3)
    expect_equal(f$deviance(own, mu, rep(size, 3), lead), 2 * (at(own) - at(mu)), info = f$name)
  }
})

test_that("pull says which way a row never becomes less likely", {
  eta <- seq(-6, 6, by = 0.5)
  for (f in Filter(function(f) f$whole, rows_families)) {
    size <- trials_of_record(f)
    for (y in c(0, 3, 7)) {
      slopes <- diff(f$log_lik(rep(y, 25), rep(size, 25), eta, rep(2.3, 25)))
      pull <- if (all(slopes > 0)) 1 else if (all(slopes < 0)) -1 else 0
      if (f$trials || y == 0) expect_equal(f$pull(y, size), pull, info = f$name)
    }
    if (!f$trials) expect_equal(f$pull(c(0, 3), c(1, 1)), c(-1, 0))
  }
})

test_that("the linear predictor to start from is the mean response's", {
  for (f in rows_families) {
    y <- c(2, 4, 3, 1)
    size <- rep(trials_of_record(f), 4)
    start <- function(offset) f$linked(rep(y, 500), rep(size, 500), offset)
    mean <- mean(y) / size[1]
    expect_equal(f$make()$linkinv(start(0)), mean, tolerance = 1e-3, info = f$name)
    expect_equal(start(0.7), start(0) - 0.7, tolerance = 1e-10)
  }
})

test_that("responses come back as they were", {
  same <- function(f, y, w = NULL) {
    r <- f$response(y, w, "y")
    expect_equal(f$restore(utils::head(y, 0L), r$size, w)(r$y), y)
  }
  same(families$gaussian, c(1.5, -2))
  for (f in families[c("poisson", "neg_binomial")]) same(f, c(0L, 3L))
  same(families$binomial, c(0L, 1L))
  same(families$binomial, c(0.25, 0.5), c(4, 2))
  same(families$binomial, cbind(a = c(1, 2), b = c(3, 0)))
})

test_that("a record is in the table by its name, which is that of its family object", {
  for (name in names(families)) {
    f <- families[[name]]
    expect_identical(c(f$name, f$make()$family, f$make()$link), c(name, name, f$link))
    expect_identical(family_of(f$make()), f)
  }
  codes <- unlist(lapply(rows_families, `[[`, "codes"))
  expect_identical(anyDuplicated(codes), 0L)
})

test_that("an incomplete or misspelled record is refused by the names of its fields", {
  new_family <- new_family
  for (f in families) {
    expect_identical(new_family(f), f)
    for (field in setdiff(names(f), "lead")) {
      expect_error(new_family(f[setdiff(names(f), field)]), field, class = "meanfield_error_family")
    }
  }
  f <- families$neg_binomial
  refused <- function(record, what) {
    expect_error(new_family(record), what, class = "meanfield_error_family")
  }
  refused(c(f, list(colour = 1)), "colour")
  refused(replace(f, "cdf", list(function(q) q)), "cdf")
  refused(replace(f, "engine", "arrow"), "engine")
  refused(replace(f, "codes", 2), "codes")
  refused(replace(f, "lead", list(f$lead["name"])), "precision, priors, default")
})

test_that("quantiles are found among whole and real numbers", {
  reach <- first_reaching
  mu <- c(0.2, 5, 4e13)
  at <- function(p) reach(function(y) ppois(y, mu), p, rep(-1, 3), qpois(1 - 1e-12, mu) + 1, TRUE)
  for (p in c(0.025, 0.5, 0.9)) {
    expect_equal(at(p), qpois(p, mu), tolerance = 1e-12)
    real <- reach(function(y) pgamma(y, mu), p, numeric(3), qgamma(1 - 1e-12, mu), FALSE)
    expect_equal(real, qgamma(p, mu), tolerance = 1e-9)
    normal <- reach(function(y) pnorm(y, -mu), p, -mu - 10, -mu + 10, FALSE)
    expect_equal(normal, qnorm(p, -mu), tolerance = 1e-9)
  }
})

put_families <- function(value) {
  ns <- asNamespace("meanfield")
  unlockBinding("FAMILIES", ns)
  assign("FAMILIES", value, ns)
  lockBinding("FAMILIES", ns)
}

# What every method says of a fit, under one seed.
all_it_says <- function(f) {
  set.seed(4)
  list(summary = as.data.frame(summary(f)), print = capture.output(print(f)),
    predict = predict(f, type = "response", interval = "prediction"), simulate = simulate(f, 2),
    deviance = deviance(f), icc = as.data.frame(icc(f, ndraws = 50)), tidy = tidy(f),
    draws = unclass(posterior::as_draws_matrix(as_draws(f))), khat = vb_khat(f),
    prior = capture.output(print(prior_summary(f))), r2 = as.data.frame(r2(f, ndraws = 50)))
}

test_that("the parameter of a family is known to its record alone", {
  d <- data.frame(x = rep(c(-1, 0, 1), 12), g = gl(6, 6), y = c(0, 2, 3, 1, 0, 9, 2, 4, 1))
  run <- function(prior) lapply(c("no", "yes"), function(integrate) {
    all_it_says(fit_vb(y ~ x + (1 | g), d, neg_binomial(), prior = prior, integrate = integrate))
  })
  want <- run(priors(phi = gamma_prior(2, 1)))
  renamed <- families
  renamed$neg_binomial$lead$name <- "kappa"
  put_families(renamed)
  on.exit(put_families(families))
  got <- run(priors(kappa = gamma_prior(2, 1)))
  back <- function(x) {
    if (is.list(x)) x[] <- lapply(x, back)
    if (is.character(x)) x <- gsub("kappa", "phi", x)
    if (!is.null(dimnames(x)) && !is.data.frame(x)) dimnames(x) <- lapply(dimnames(x), back)
    x
  }
  same <- function(x) {
    x$print <- x$prior <- NULL # columns are as wide as the name
    x
  }
  expect_equal(lapply(back(got), same), lapply(want, same), tolerance = 1e-12)
  squeeze <- function(x) gsub(" +", " ", c(x$print, x$prior))
  expect_identical(lapply(back(got), squeeze), lapply(want, squeeze))
})

test_that("no other file asks for a family by its name", {
  dir <- source_dir("R")
  skip_if(is.na(dir), "the package's sources are not here")
  files <- list.files(dir, "[.]R$", full.names = TRUE)
  asks <- "is_gaussian|family\\$family *[=%!]|switch\\(.*family"
  # laws and networks have families of their own
  others <- files[!grepl("^(family|divergence|network)", basename(files))]
  found <- unlist(lapply(others, function(file) {
    lines <- sub("#.*", "", readLines(file))
    paste(basename(file), lines[grepl(asks, lines)], recycle0 = TRUE)
  }))
  expect_identical(as.character(found), character())
})

test_that("priors() takes the parameters of the table, and no others", {
  expect_error(priors(kappa = gamma_prior(1, 1)), class = "meanfield_error")
  for (f in families) {
    if (is.null(f$lead)) next
    for (kind in f$lead$priors) {
      p <- list(gamma = gamma_prior(1, 2), half_t = half_t_prior(3))[[kind]]
      expect_identical(do.call(priors, stats::setNames(list(p), f$lead$name))[[f$lead$name]], p)
    }
    expect_error(do.call(priors, stats::setNames(list(flat_prior()), f$lead$name)), f$lead$name,
      class = "meanfield_error_prior")
  }
})
