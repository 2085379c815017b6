# Ctrl-C: a process of its own runs something long, gets a SIGINT, has to be back within half a
# second and to work on.
#
#   Rscript tests/fuzz/interrupt.R [NAME ...]     (without names: all of `work` below)

# name -> what is made ready, and what is interrupted. A new engine is one more entry. Sizes are
# such that the core works for seconds; what R does itself is repeated instead: a product of large
# matrices or exp() of millions of numbers cannot be interrupted by anybody.
work <- list(
  gibbs = list(quote(fit <- small()), quote(fit_gibbs(fit, iter = 5e8, thin = 1e6))),
  gibbs_polya_gamma = list(quote(fit <- small("hit", binomial())),
    quote(fit_gibbs(fit, iter = 5e7, thin = 1e5, sampler = "polya-gamma"))),
  gibbs_hamiltonian = list(quote(fit <- small("count", poisson())),
    quote(fit_gibbs(fit, iter = 5e7, thin = 1e5))),
  gibbs_neg_binomial = list(quote(fit <- small("count", neg_binomial())),
    quote(fit_gibbs(fit, iter = 5e7, thin = 1e5))),
  gibbs_mixture = list(quote(fit <- fit_vb(gaussian_mixture(points(2000), 3), starts = 2)),
    quote(fit_gibbs(fit, iter = 1e6, thin = 1e3))),
  vb = list(quote(fit <- crossed()), quote(fit_vb(fit, integrate = "no", control = endless))),
  vb_formula = list(quote(d <- rows(1000, 400)),
    quote(fit_vb(y ~ x + (1 | g) + (1 | h), d, integrate = "no", control = endless))),
  vb_poisson = list(quote(d <- rows(2e5, 4000)), quote(fit_vb(count ~ x + (1 | g) + (1 | h), d,
    family = poisson(), integrate = "no"))),
  vb_iterated = list(quote(fit <- many()), quote(repeat fit_vb(fit, integrate = "no"))),
  vb_iterated_draws = list(quote(fit <- many()),
    quote(repeat as_draws(fit, ndraws = 50, u = TRUE))),
  nested = list(quote(fit <- slopes()), quote(fit_vb(fit, integrate = "yes"))),
  nested_binomial = list(quote(fit <- slopes("hit", binomial())),
    quote(fit_vb(fit, integrate = "yes"))),
  exact = list(quote(fit <- slopes()), quote(fit_exact(fit, tol = 1e-8))),
  target = list(quote(t <- cube()), quote(repeat fit_vb(t))),
  target_mean_field = list(quote(t <- cube(300)), quote(repeat fit_vb(t))),
  target_exact = list(quote(t <- cube(6)), quote(repeat fit_exact(t, tol = 1e-12))),
  target_hmc = list(quote(t <- cube()), quote(fit_hmc(t, iter = 2e5))),
  hmc = list(quote(fit <- small()), quote(fit_hmc(fit, iter = 5e4))),
  mixture = list(quote(m <- gaussian_mixture(points(20000), 8)), quote(fit_vb(m, starts = 1000))),
  vae = list(quote(m <- vae(points(5000), 1)), quote(fit_vb(m, control = vb_control(epochs = 1e6)))),
  vae_none = list(quote(m <- vae(points(5000), 1, encoder = "none")),
    quote(fit_vb(m, control = vb_control(epochs = 1e6)))),
  bnn = list(quote(m <- bnn(points(200), sin(1:200), 5)), quote(repeat fit_vb(m))),
  bnn_hmc = list(quote(m <- bnn(points(200), sin(1:200), 5)), quote(fit_hmc(m, iter = 2e5))),
  vb_khat = list(quote(fit <- small("hit", binomial(), 2000, 200)), quote(repeat vb_khat(fit))),
  loo = list(quote(fit <- small("y", gaussian(), 1500)), quote(repeat loo::loo(fit))),
  compare = list(quote(fit <- small("y", gaussian(), 1500)), quote(repeat compare(fit, fit))),
  predict = list(quote({
    fit <- small()
    new <- rows(5e5, 50)
  }), quote(repeat predict(fit, new, interval = "prediction"))),
  simulate = list(quote(fit <- small("hit", binomial(), 1000)), quote(repeat simulate(fit, 1000)))
)

# ---- the child -----------------------------------------------------------------------

rows <- function(n, groups) {
  set.seed(1)
  d <- data.frame(x = stats::rnorm(n), z = stats::rnorm(n), g = sample.int(groups, n, TRUE),
    h = sample.int(groups, n, TRUE))
  d$y <- d$x + stats::rnorm(groups)[d$g] + stats::rnorm(n)
  d$hit <- as.integer(d$y > 0)
  d$count <- stats::rpois(n, exp(.5 * d$y))
  d
}
small <- function(response = "y", family = gaussian(), n = 500, groups = 50) {
  f <- stats::reformulate(c("x", "(1 | g)"), response)
  fit_vb(f, rows(n, groups), family = family, integrate = "no")
}
many <- function() fit_vb(y ~ x + (1 | g) + (1 | h), rows(2e5, 10000), integrate = "no")
slopes <- function(response = "y", family = gaussian()) {
  f <- stats::reformulate("(1 + x + z | g)", response)
  fit_vb(f, rows(2000, 200), family = family, integrate = "no")
}
crossed <- function() fit_vb(y ~ x + (1 | g) + (1 | h), rows(3000, 500), integrate = "no")
cube <- function(d = 20) { # tails that are not a normal distribution's
  target(function(p) -rowSums(p$x^4), list(x = rep(0.1, d)), vectorised = TRUE,
    gradient = function(p) list(x = -4 * p$x^3))
}
points <- function(n) {
  set.seed(1)
  matrix(stats::rnorm(4 * n), n) + sample.int(3, n, TRUE)
}

# Reports to a file: "ready TIME", then "back TIME how", then "usable".
child <- function(name, file) {
  suppressPackageStartupMessages(library(meanfield))
  say <- function(...) cat(..., "\n", file = file, append = TRUE)
  assign("endless", vb_control(tol = 1e-300, max_iter = 1e6, newton = FALSE), globalenv())
  eval(work[[name]][[1L]], globalenv())
  say("ready", Sys.getpid(), format(as.double(Sys.time()), digits = 16))
  how <- tryCatch({
    suppressWarnings(eval(work[[name]][[2L]], globalenv()))
    "finished"
  },
  interrupt = function(i) "interrupted",
  error = function(e) paste("error:", conditionMessage(e)))
  say("back", format(as.double(Sys.time()), digits = 16), gsub("[\n ]+", " ", how))
  set.seed(2)
  again <- fit_gibbs(small(n = 60, groups = 5), chains = 1, iter = 60, warmup = 50)
  if (all(is.finite(again$draws)) && stats::runif(1) > 0) say("usable")
}

# ---- the parent ----------------------------------------------------------------------

read_words <- function(file, word) {
  lines <- if (file.exists(file)) readLines(file, warn = FALSE) else character()
  found <- grep(paste0("^", word), lines, value = TRUE)
  if (length(found)) strsplit(trimws(found[1L]), " ")[[1L]]
}
wait_for <- function(file, word, most) {
  until <- Sys.time() + most
  while (Sys.time() < until) {
    words <- read_words(file, word)
    if (!is.null(words)) return(words)
    Sys.sleep(.02)
  }
}

# Seconds from the signal to the return, and what was wrong.
interrupt_one <- function(name, script, pause = 1.5, most = .5) {
  file <- tempfile()
  on.exit(unlink(file))
  env <- paste0("R_LIBS=", shQuote(paste(.libPaths(), collapse = .Platform$path.sep)))
  system2(file.path(R.home("bin"), "Rscript"), c(shQuote(script), "child", name, shQuote(file)),
    env = env, wait = FALSE, stdout = FALSE, stderr = FALSE)
  ready <- wait_for(file, "ready", 120)
  if (is.null(ready)) return(list(seconds = NA, wrong = "never ready"))
  Sys.sleep(pause)
  pid <- as.integer(ready[2L])
  if (!is.null(read_words(file, "back"))) {
    return(list(seconds = NA, wrong = paste("too quick to be interrupted:",
      paste(read_words(file, "back")[-(1:2)], collapse = " "))))
  }
  sent <- as.double(Sys.time())
  tools::pskill(pid, tools::SIGINT)
  back <- wait_for(file, "back", 30)
  if (is.null(back)) {
    tools::pskill(pid, tools::SIGKILL)
    return(list(seconds = Inf, wrong = "did not come back within 30 s, or R ended"))
  }
  took <- as.double(back[2L]) - sent
  usable <- !is.null(wait_for(file, "usable", 60))
  list(seconds = took, wrong = c(if (back[3L] != "interrupted") paste(back[-(1:2)], collapse = " "),
    if (took > most) paste("took more than", most, "s"), if (!usable) "the session is broken"))
}

main <- function(args, script) {
  if (length(args) && args[1L] == "child") return(child(args[2L], args[3L]))
  if (.Platform$OS.type != "unix") {
    cat("no signals here: skipped\n")
    return(invisible())
  }
  bad <- 0L
  for (name in if (length(args)) args else names(work)) {
    x <- interrupt_one(name, script)
    bad <- bad + (length(x$wrong) > 0L)
    cat(sprintf("%-20s back after %.2f s%s\n", name, x$seconds,
      if (length(x$wrong)) paste("  WRONG:", toString(x$wrong)) else ""))
  }
  quit(status = bad > 0)
}
main(commandArgs(TRUE), sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))
