# What does the default fit cost, integrated over the variance parameters, from the formula: against
# lmer() or glmer() of the same model, beside integrate = "no", with the conditional fits it took;
# and what do nested and crossed factors of many levels cost? CPU seconds: others may share the
# machine.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))

suppressMessages(library(meanfield))

# ---- CPU seconds in turns ----------------------------------------------------------

# fun(), or its error, without a word.
quietly <- function(fun) {
  function() tryCatch(suppressMessages(suppressWarnings(fun())), error = identity)
}

# Of each competitor (named functions of no arguments) the value of its first call and the median
# CPU seconds of the later ones, in turns: as many rounds as fit in about 4 seconds, at most 9, each
# of calls that take a twentieth of a second or more. Where the first calls took longer than 20
# seconds, they are all there is.
in_turns <- function(competitors) {
  competitors <- lapply(competitors, quietly)
  first <- lapply(competitors, timed, clock = cpu_seconds)
  values <- lapply(first, `[[`, "value")
  seconds <- vapply(first, `[[`, 0, "seconds")
  ran <- which(!vapply(values, inherits, NA, "error"))
  if (sum(seconds) > 20) return(list(values = values, seconds = seconds))
  once <- vapply(competitors, function(fun) timed(fun, clock = cpu_seconds)$seconds, 0)
  times <- pmax(1L, ceiling(0.05 / pmax(once, 0.0005)))
  rounds <- max(1L, min(9L, floor(4 / sum(once * times))))
  if (length(ran)) {
    seconds[ran] <- turns(competitors[ran], rounds, times[ran], cpu_seconds)
  }
  list(values = values, seconds = seconds)
}

# ---- rows --------------------------------------------------------------------------

failed <- function(work, peer, asked, error) {
  message <- gsub("[[:space:]]+", " ", conditionMessage(error))
  add_row(work, peer, paste("error:", substr(message, 1L, 90L)), "", "", asked, "no")
}

# Conditional fits that an emulator may take, by the number of variance parameters.
most_fits <- c(8, 12, 16, 25, 40, 40)

count <- function(x) format(round(x), big.mark = ",", scientific = FALSE)

# How the fit was integrated, in words.
integral_of <- function(fit) {
  if (is.null(fit$integrated)) return(paste("not integrated:", fit$not_integrated))
  paste0(fit$integrated$method, ", ", count(fit$integrated$points), " points")
}

fits_row <- function(work, fit) {
  nodes <- fit$integrated
  d <- length(fit$posterior$tau$mean)
  if (!identical(nodes$method, "emulator") || d > length(most_fits)) return(invisible())
  at_most(paste0(work, ": conditional fits, d = ", d), paste("the limit of d =", d), nodes$points,
    most_fits[d], 1, show = count)
}

# Default and integrate = "no" against lme4 on one model. A default that should have been integrated
# and was not has not reached anything.
against_lme4 <- function(work, formula, data, asked, family = gaussian()) {
  gaussian <- family$family == "gaussian"
  peer <- if (gaussian) "lmer" else "glmer"
  wanted <- paste0("at least ", asked, "x")
  if (!has("lme4")) return(not_installed(work, peer, wanted))
  run <- in_turns(list(
    default = function() fit_vb(formula, data, family),
    no = function() fit_vb(formula, data, family, integrate = "no"),
    peer = function() {
      if (gaussian) lme4::lmer(formula, data) else lme4::glmer(formula, data, family)
    }
  ))
  fit <- run$values$default
  if (inherits(fit, "error")) return(failed(work, peer, wanted, fit))
  s <- run$seconds
  served <- !is.null(fit$integrated) || identical(fit$not_integrated, "not needed")
  ratio <- s[["peer"]] / s[["default"]]
  add_row(paste0(work, " (", integral_of(fit), ")"), peer, duration(s[["default"]]),
    duration(s[["peer"]]), times(ratio), wanted, if (served && ratio >= asked) "yes" else "no")
  note(paste0(work, ": default / \"no\""), "integrate = \"no\"", duration(s[["default"]]),
    duration(s[["no"]]), times(s[["default"]] / s[["no"]]))
  fits_row(work, fit)
}

# ---- generalised models ------------------------------------------------------------

fertility <- use ~ age + I(age^2) + urban + livch + (1 + urban | district)
if (has("mlmRev")) {
  utils::data("Contraception", package = "mlmRev")
  against_lme4("Contraception (1 + urban | district)", fertility, Contraception, 8, binomial())
  against_lme4("Contraception (1 | district)",
    use ~ age + I(age^2) + urban + livch + (1 | district), Contraception, 5, binomial())
} else {
  not_installed("Contraception", "mlmRev (its data)", "at least 8x, 5x")
}
if (has("lme4")) {
  grouse <- transform(lme4::grouseticks, height = as.double(scale(HEIGHT)))
  against_lme4("grouseticks, three nested factors",
    TICKS ~ YEAR + height + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION), grouse, 8, poisson())
  against_lme4("VerbAgg, id + item", r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item),
    lme4::VerbAgg, 8, binomial())
  against_lme4("cbpp", cbind(incidence, size - incidence) ~ period + (1 | herd), lme4::cbpp, 10,
    binomial())
}

# `groups` of n rows, effects of SD .6 of an intercept and the columns of x
slopes_data <- function(seed, groups, n, covariates, draw) {
  set.seed(seed)
  x <- matrix(rnorm(groups * n * covariates), groups * n)
  u <- matrix(rnorm(groups * (covariates + 1L), 0, 0.6), groups)
  g <- rep(seq_len(groups), each = n)
  eta <- -0.3 + drop(x %*% c(0.5, -0.3)[seq_len(covariates)]) + rowSums(u[g, ] * cbind(1, x))
  data.frame(y = draw(eta), x = x[, 1L], z = x[, covariates], g = g)
}
pois <- slopes_data(2, 100, 20, 1, function(eta) rpois(length(eta), exp(eta)))
against_lme4("Poisson slopes, 2,000 rows", y ~ x + (1 + x | g), pois, 8, poisson())
coin <- slopes_data(3, 40, 15, 2, function(eta) rbinom(length(eta), 1, plogis(eta)))
against_lme4("binomial, n = 600, (1 + x + z | g)", y ~ x + z + (1 + x + z | g), coin, 2, binomial())

# ---- Gaussian models ---------------------------------------------------------------

if (has("nlme")) {
  set <- function(name) as.data.frame(getExportedValue("nlme", name))
  against_lme4("MathAchieve (SES | School)", MathAch ~ SES + (SES | School), set("MathAchieve"), 1)
  against_lme4("Oats (1 | Block/Variety)", yield ~ nitro * Variety + (1 | Block / Variety),
    set("Oats"), 1)
  against_lme4("Oats (nitro | Block)", yield ~ nitro + (nitro | Block), set("Oats"), 1)
  against_lme4("Machines (1 | Worker/Machine)", score ~ Machine + (1 | Worker / Machine),
    set("Machines"), 1)
  against_lme4("Orthodont (age | Subject)", distance ~ age * Sex + (age | Subject),
    set("Orthodont"), 1)
}
against_lme4("radon (1 + floor | county)", log_radon ~ floor + (1 + floor | county), radon, 1)
if (has("lme4")) {
  intercept <- Reaction ~ Days + (1 | Subject)
  against_lme4("sleepstudy (Days | Subject)", Reaction ~ Days + (Days | Subject),
    lme4::sleepstudy, 2)
  against_lme4("sleepstudy (1 | Subject)", intercept, lme4::sleepstudy, 6)
  small <- in_turns(list(no = function() fit_vb(intercept, lme4::sleepstudy, integrate = "no")))
  at_most("sleepstudy (1 | Subject), integrate = \"no\"", "1.2 ms", small$seconds[["no"]], .0012, 1)
}

# ---- many levels -------------------------------------------------------------------

# integrate = "no" against lmer(), each once (our first call excepted); value: our seconds.
large <- function(work, formula, data, asked) {
  wanted <- paste0("at least ", asked, "x")
  run <- in_turns(list(no = function() fit_vb(formula, data, integrate = "no")))
  ours <- run$seconds[["no"]]
  if (inherits(run$values$no, "error")) {
    failed(work, "lmer", wanted, run$values$no)
    return(NA)
  }
  if (has("lme4")) {
    theirs <- timed(quietly(function() lme4::lmer(formula, data)), clock = cpu_seconds)$seconds
    faster(work, "lmer", ours, theirs, asked)
  } else {
    not_installed(work, "lmer", wanted)
  }
  ours
}

nested_data <- function(areas) {
  set.seed(4)
  area <- rep(seq_len(areas), each = 30)
  subject <- rep(seq_len(10 * areas), each = 3)
  x <- rnorm(30 * areas)
  y <- 1 + 0.5 * x + rnorm(areas)[area] + rnorm(10 * areas, 0, 0.7)[subject] + rnorm(30 * areas)
  data.frame(y, x, area, subject)
}
nested <- vapply(c(1000, 10000), function(areas) {
  large(paste0("(1 | area/subject), ", count(areas), " areas of 10 of 3, integrate = \"no\""),
    y ~ x + (1 | area / subject), nested_data(areas), 5)
}, 0)
if (!anyNA(nested)) {
  at_most("its exponent in the number of areas", "1.2", log10(nested[2L] / nested[1L]), 1.2, 1,
    show = number)
}
if (has("lme4")) {
  large("InstEval, integrate = \"no\"", y ~ service + (1 | s) + (1 | d) + (1 | dept),
    lme4::InstEval, 4)
}

# A million rows of two crossed factors, in a process of its own: CPU seconds of the first fit, and
# megabytes at the peak above what was there with the data.
crossed <- function(a, b) {
  out <- system2(rscript, c(shQuote(file.path(dirname(script), "default-crossed.R")), a, b),
    stdout = TRUE, env = one_thread)
  strsplit(grep("^(measured|error)", out, value = TRUE)[1L], "\t")[[1L]]
}
crossed_rows <- function(a, b, seconds, lmer = NULL, megabytes = NULL) {
  work <- paste0("crossed ", count(a), " x ", count(b), ", 1e6 rows, integrate = \"no\"")
  out <- crossed(a, b)
  if (!identical(out[1L], "measured")) {
    return(failed(work, "", paste0("at most ", seconds, " s"), simpleError(out[2L])))
  }
  ours <- as.double(out[2L])
  at_most(work, duration(seconds), ours, seconds, 1)
  if (!is.null(lmer)) faster(work, "lmer (an estimate: see README)", ours, lmer, 30)
  peak <- as.double(out[3L])
  show <- function(x) paste(number(x), "MB")
  if (is.null(megabytes) || is.na(peak)) return(note(paste0(work, ": memory"), "", show(peak)))
  at_most(paste0(work, ": memory"), show(megabytes), peak, megabytes, 1, show = show)
}
crossed_rows(20000, 5000, 3, lmer = 220)
crossed_rows(100000, 10000, 8, megabytes = 400)

# ---- a fresh R ---------------------------------------------------------------------

code <- paste0("library(meanfield); d <- data.frame(y = rnorm(60), g = gl(6, 10)); ",
  "s <- sum(proc.time()[1:2]); f <- fit_vb(y ~ 1 + (1 | g), d); ",
  "cat(sum(proc.time()[1:2]) - s, \"Matrix\" %in% loadedNamespaces())")
fresh <- replicate(3L, system2(rscript, c("-e", shQuote(code)), stdout = TRUE, env = one_thread))
fresh <- strsplit(fresh, " ")
add_row(paste0("first fit of a fresh R", if (fresh[[1L]][2L] == "TRUE") ", which loads Matrix"), "",
  duration(stats::median(as.double(vapply(fresh, `[[`, "", 1L)))), "", "", "Matrix is not loaded",
  if (fresh[[1L]][2L] == "TRUE") "no" else "yes")

finish()
