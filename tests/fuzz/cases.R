# The subjects of the fuzzer, and one case of one of them. A new kind of fit is one more entry:
# draw() makes a case (call, d, objects, text), steps and checks say what is called on its fit.

subjects <- list(
  model = list(weight = 6, draw = draw_model_case, steps = model_steps, most = 8L,
    always = c("summary", "vcov"),
    checks = list(independent = list(p = .1, run = agree_independent),
      invariance = list(p = .2, run = agree_invariant), draws = list(p = .1, run = agree_draws),
      chunks = list(p = .3, run = agree_chunks)),
    seedless = function(f) !is_gibbs(f)),
  mixture = list(weight = 1, draw = draw_mixture_case, steps = mixture_steps, most = 8L,
    always = "summary",
    checks = list(units = list(p = .15, run = agree_mixture_units),
      draws = list(p = .15, run = agree_draws)),
    seedless = function(f) !inherits(f, "gmm_gibbs_fit")),
  target = list(weight = 2, draw = draw_target_case, steps = target_steps, most = 6L,
    always = "summary",
    checks = list(lattice = list(p = .3, run = agree_lattice),
      again = list(p = .1, run = agree_again)),
    seedless = function(f) !is_target_hmc(f))
)

case_seed <- function(seed, i) as.integer((seed * 100003 + i) %% .Machine$integer.max)

# The state that a case must not inherit from the one before it.
fresh_start <- function(seed, i) {
  RNGkind("Mersenne-Twister", "Inversion", "Rejection")
  set.seed(case_seed(seed, i))
  rm(list = intersect(names(globalenv()$last_objects), ls(globalenv())), envir = globalenv())
  options(warn = 1)
  grDevices::graphics.off()
  grDevices::pdf(NULL)
}

# The fit's call is evaluated in the global environment, as a user's would be.
put_objects <- function(x) {
  objects <- c(x$objects, list(d = x$d))
  list2env(objects, envir = globalenv())
  assign("last_objects", objects, globalenv())
}

step_is_there <- function(step) {
  package <- attr(step, "package")
  is.null(package) || requireNamespace(package, quietly = TRUE)
}

# Case i of a seed. say(step, outcome, text) hears of every step, begin(step, text) before it. After
# `limit` seconds of CPU no further step is begun.
run_case <- function(seed, i, say, begin, limit = Inf) {
  fresh_start(seed, i)
  subject <- pick_by_weight(subjects)
  x <- subject$draw()
  steps <- unique(c(if (i %% 2 == 0) subject$always, sample(names(subject$steps), subject$most)))
  checks <- names(subject$checks)[vapply(subject$checks, function(k) chance(k$p), NA)]
  put_objects(x)
  began <- sum(proc.time()[1:2])
  f <- fit_case(x, subject, say, begin)
  for (s in if (!is.null(f)) c(steps, checks)) {
    if (sum(proc.time()[1:2]) - began > limit) break
    step <- subject$steps[[s]] %||% subject$checks[[s]]$run
    if (!step_is_there(step)) next
    begin(s, x$text)
    say(s, judge_step(step, f, x), x$text)
  }
  invisible(c(x, list(fit = f)))
}

# An error that another package raises in a method of its own generic may still be our doing.
judge_step <- function(step, f, x) {
  out <- run_step(step(f, x), attr(step, "package"))
  interop <- !is.null(attr(step, "package"))
  if (interop && out$class == "foreign" && !foreign_failure(step, f, x)) out$class <- "UNCLASSED"
  out
}

fit_case <- function(x, subject, say, begin) {
  begin("fit", x$text)
  before <- .Random.seed
  out <- run_step(eval(x$call, globalenv()))
  if (out$class == "ok" && subject$seedless(out$value) && !identical(before, .Random.seed)) {
    out$class <- "VALUE"
    out$message <- "the random generator moved"
  }
  say("fit", out, x$text)
  out$value
}
