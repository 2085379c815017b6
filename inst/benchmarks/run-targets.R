# Is the default fit of a target right, or does it say that it is not?
# Rscript inst/benchmarks/run-targets.R [half-a|half-b|posteriordb] [name ...] fits every target of
# the set (or those named) on the installed package and compares the summary with the truth:
#   right        every mean within .03 SD and every SD within 3% (the truth's own error allowed for)
#   flagged      not right, and said so: words in fit$flags, a classed warning or error
#   SILENT       not right and not a word
#   false alarm  right, but flagged
#   BASE ERROR   an error that is not the package's
# It prints a table and counts, and writes run-<set>.csv and run-<set>.md where it is run. A fit
# that takes longer than SECONDS_PER_FIT (120) is ended and counts as an error.

suppressMessages(library(meanfield))
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
dir <- file.path(dirname(script), "targets")
source(file.path(dir, "common.R"))

limit_mean <- .03
limit_sd <- .03
limit_seconds <- as.numeric(Sys.getenv("SECONDS_PER_FIT", "120"))

# ---- one fit -------------------------------------------------------------------------------------

# The fit or the condition that ended it, with the words that came on the way.
attempt <- function(case) {
  words <- character()
  heard <- function(w) {
    if (inherits(w, "meanfield_warning")) words <<- c(words, conditionMessage(w))
    invokeRestart("muffleWarning")
  }
  start <- proc.time()[[1]]
  setTimeLimit(elapsed = limit_seconds, transient = TRUE)
  on.exit(setTimeLimit())
  fit <- tryCatch(withCallingHandlers(fit_case(case), warning = heard), error = identity)
  list(fit = fit, words = words, seconds = proc.time()[[1]] - start)
}

# Only what the case has is named in the call: defaults stay defaults.
fit_case <- function(case) {
  parts <- c("log_density", "init", "gradient", "data", "generated")
  args <- Filter(Negate(is.null), case[parts])
  fit_vb(do.call(target, c(args, list(constraints = case$constraints()))))
}

# ---- against the truth ---------------------------------------------------------------------------

# One row per variable of the truth; an error beyond the limit plus three standard errors is wrong.
# A moment that does not exist must not be reported as a number.
compare_rows <- function(rows, truth) {
  found <- match(plain_name(truth$variable), plain_name(as.character(rows$variable)))
  mean <- rows$mean[found]
  sd <- rows$sd[found]
  scale <- ifelse(is.na(truth$sd), 1, truth$sd)
  ratio <- sd / truth$sd
  mean_error <- abs(mean - truth$mean) / scale
  own_mean <- ifelse(is.na(truth$mcse_mean), 0, 3 * truth$mcse_mean / scale)
  own_sd <- ifelse(is.na(truth$mcse_sd), 0, 3 * truth$mcse_sd / scale)
  data.frame(
    variable = truth$variable, reported_mean = mean, true_mean = truth$mean, reported_sd = sd,
    true_sd = truth$sd, mean_error, ratio,
    mean_right = ifelse(is.na(truth$mean), !is.finite(mean), mean_error <= limit_mean + own_mean),
    sd_right = ifelse(is.na(truth$sd), !is.finite(sd), abs(ratio - 1) <= limit_sd + own_sd)
  )
}

# "R[2, 1]" and "R[1,2]" are one entry of a symmetric matrix.
plain_name <- function(x) {
  x <- gsub(" ", "", x)
  pair <- vapply(regmatches(x, regexec("^(.*)\\[(\\d+),(\\d+)\\]$", x)), function(m) {
    if (length(m) == 0) return(NA_character_)
    ij <- sort(as.integer(m[3:4]))
    sprintf("%s[%d,%d]", m[2], ij[2], ij[1])
  }, "")
  ifelse(is.na(pair), x, pair)
}

is_right <- function(rows) {
  right <- rows$mean_right & rows$sd_right
  all(!is.na(right) & right)
}

# Where there is nothing to be right about, words are no false alarm.
verdict_of <- function(right, flagged, truth) {
  if (flagged && (!right || anyNA(truth$mean) || anyNA(truth$sd))) return("flagged")
  if (right) return(if (flagged) "false alarm" else "right")
  "SILENT"
}

# Largest distance of a ratio from 1, as a ratio: .9 and 1.111 are equally far.
worst_ratio <- function(ratio) {
  ratio <- ratio[is.finite(ratio) & ratio > 0]
  if (length(ratio)) ratio[which.max(abs(log(ratio)))] else NA_real_
}

largest <- function(x) if (any(is.finite(x))) max(x[is.finite(x)]) else NA_real_

# ---- one target, all targets ---------------------------------------------------------------------

one_or_na <- function(x) if (length(x)) as.numeric(x)[1] else NA_real_

# Free parameters (of a correlation matrix its lower triangle).
free_size <- function(x) if (is.matrix(x)) sum(lower.tri(x)) else length(x)

# The row of the result, without the numbers of a fit.
blank_row <- function(case, a) {
  failed <- inherits(a$fit, "error")
  words <- c(if (failed) conditionMessage(a$fit) else a$fit$flags, a$words)
  data.frame(
    target = case$name, d = sum(vapply(case$init, free_size, 1L)), kind = case$kind,
    mean_error = NA_real_, sd_ratio = NA_real_, worst = "", khat = NA_real_, gradients = NA_real_,
    seconds = round(a$seconds, 2), source = "-", flagged = length(words) > 0 && !failed,
    verdict = "", words = gsub("\\s+", " ", paste(words, collapse = " | "))
  )
}

judge <- function(case) {
  a <- attempt(case)
  row <- blank_row(case, a)
  if (inherits(a$fit, "error")) {
    row$flagged <- inherits(a$fit, "meanfield_error")
    row$verdict <- if (row$flagged) "flagged" else "BASE ERROR"
    return(row)
  }
  table <- as.data.frame(summary(a$fit))
  rows <- compare_rows(table, case$truth)
  row$mean_error <- largest(rows$mean_error)
  row$sd_ratio <- worst_ratio(rows$ratio)
  row$worst <- worst_variables(rows)
  row$khat <- one_or_na(a$fit$khat)
  row$gradients <- one_or_na(a$fit$counts["gradients"])
  if ("source" %in% names(table)) row$source <- paste(unique(table$source), collapse = "+")
  row$verdict <- verdict_of(is_right(rows), row$flagged, case$truth)
  row
}

# Names of the variables that are wrong, at most four.
worst_variables <- function(rows) {
  wrong <- rows$variable[!(rows$mean_right & rows$sd_right) %in% TRUE]
  paste(utils::head(wrong, 4), collapse = " ")
}

short <- function(x, digits) ifelse(is.na(x), "-", formatC(x, digits = digits, format = "f"))

as_markdown <- function(r) {
  cells <- with(r, cbind(
    target, d, kind, short(mean_error, 3), short(sd_ratio, 3), short(khat, 2),
    short(gradients, 0), short(seconds, 1), source, ifelse(flagged, "yes", ""), verdict
  ))
  head <- c("target", "d", "kind", "mean error, SD", "SD ratio", "k-hat", "gradients", "seconds",
    "source", "flagged", "verdict")
  c(
    paste0("| ", paste(head, collapse = " | "), " |"),
    paste0("|", strrep("---|", length(head))),
    apply(cells, 1, function(x) paste0("| ", paste(x, collapse = " | "), " |"))
  )
}

counts_of <- function(r) {
  verdicts <- c("right", "flagged", "SILENT", "false alarm", "BASE ERROR")
  table(kind = factor(r$kind, c("regular", "hard", "refuse")), factor(r$verdict, verdicts))
}

args <- commandArgs(trailingOnly = TRUE)
set <- if (length(args)) args[1] else "half-a"
cases <- read_targets(set, dir)
if (length(args) > 1) cases <- cases[args[-1]]
result <- NULL
for (case in cases) {
  row <- judge(case)
  with(row, cat(sprintf("%-28s %-12s mean %s SD ratio %s k-hat %s gradients %s %.1f s %s\n", target,
    verdict, short(mean_error, 3), short(sd_ratio, 3), short(khat, 2), short(gradients, 0), seconds,
    substr(words, 1, 120))))
  result <- rbind(result, row)
}
print(counts_of(result))
utils::write.csv(result, paste0("run-", set, ".csv"), row.names = FALSE)
counts <- paste("   ", utils::capture.output(counts_of(result)))
writeLines(c(as_markdown(result), "", counts), paste0("run-", set, ".md"))
