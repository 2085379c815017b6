# Every record of a family against its own definition: what it says of a response must agree with sums
# or integrals of its log likelihood.

families <- meanfield:::FAMILIES
rows_families <- Filter(function(f) f$engine == "rows", families)

# A lead where the family has one, trials where it counts them.
lead_of_record <- function(f) if (!is.null(f$lead)) 2.3
trials_of_record <- function(f) if (f$trials) 7 else 1
mean_of_record <- function(f, eta) f$make()$linkinv(eta)

# The y that a response can be, on the scale of draws, and the weights of a sum over them; a fine grid
# where they are real numbers.
support <- function(f, eta) {
  if (f$trials) return(list(y = 0:trials_of_record(f), w = 1))
  if (f$engine == "rows") return(list(y = 0:2000, w = 1))
  list(y = eta + seq(-12, 12, by = 0.01), w = 0.01)
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
  for (f in families[c("poisson", "neg_binomial")]) {
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
    y <- support(f, eta)$y
    below <- f$cdf(y, rep(size, length(y)), rep(mu, length(y)), lead)
    expect_equal(below, cumsum(exp(record_density(f, eta, y))), tolerance = 1e-8, info = info)
    top <- f$top(size, mu, lead)
    expect_gt(f$cdf(top, size, mu, lead), 1 - 1e-10)
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
  for (f in rows_families) {
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
    expect_identical(meanfield:::family_of(f$make()), f)
  }
  codes <- unlist(lapply(rows_families, `[[`, "codes"))
  expect_identical(anyDuplicated(codes), 0L)
})

test_that("an incomplete or misspelled record is refused by the names of its fields", {
  new_family <- meanfield:::new_family
  for (f in families) {
    expect_identical(new_family(f), f)
    for (field in setdiff(names(f), "lead")) {
      expect_error(new_family(f[setdiff(names(f), field)]), field, class = "meanfield_error_family")
    }
  }
  f <- families$neg_binomial
  expect_error(new_family(c(f, list(colour = 1))), "colour", class = "meanfield_error_family")
  expect_error(new_family(replace(f, "cdf", list(function(q) q))), "cdf", class = "meanfield_error_family")
  expect_error(new_family(replace(f, "engine", "arrow")), "engine", class = "meanfield_error_family")
  expect_error(new_family(replace(f, "codes", 2)), "codes", class = "meanfield_error_family")
  expect_error(new_family(replace(f, "lead", list(f$lead["name"]))), "precision, priors, default",
    class = "meanfield_error_family")
})

test_that("no other file asks for a family by its name", {
  dir <- source_dir("R")
  skip_if(is.na(dir), "the package's sources are not here")
  files <- list.files(dir, "[.]R$", full.names = TRUE)
  asks <- "is_gaussian|family\\$family *[=%!]|switch\\(.*family"
  found <- unlist(lapply(files[!grepl("^family", basename(files))], function(file) {
    lines <- sub("#.*", "", readLines(file))
    paste(basename(file), lines[grepl(asks, lines)], recycle0 = TRUE)
  }))
  expect_identical(as.character(found), character())
})

test_that("priors() takes the parameters of the table, and no others", {
  expect_error(priors(shape = gamma_prior(1, 1)), class = "meanfield_error")
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
