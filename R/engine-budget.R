# The time that an integral may take, and word of it where it takes long.

# CPU seconds of the default, from its first conditional fit on.
INTEGRATE_SECONDS <- 1
# Interactive runs say so when they have taken as long.
SILENT_SECONDS <- 2

# list(left(), spent(): CPU seconds; progress(): called every now and then, close(): at the end),
# from now on. seconds: Inf for any time; work: what takes it, in words.
new_budget <- function(seconds = Inf, work = "Integrating over the variance parameters") {
  start <- cpu_seconds()
  spent <- function() cpu_seconds() - start
  word <- spoken_progress(spent, work)
  list(left = function() max(seconds - spent(), 0), spent = spent, progress = word$step,
    close = word$close)
}

cpu_seconds <- function() sum(.subset(proc.time(), 1:2)) # user and system

# A line about the work, and then a dot for each second; nothing where nobody reads it.
spoken_progress <- function(spent, work, listening = interactive()) {
  if (!listening) return(list(step = NULL, close = function() NULL))
  dots <- 0L
  step <- function(done) {
    if (spent() < SILENT_SECONDS + dots) return()
    if (dots == 0L) cat(work, "(Ctrl-C ends it) ")
    dots <<- dots + 1L
    cat(".")
  }
  list(step = step, close = function() if (dots > 0L) cat("\n"))
}

# Ends an integral from any depth: its value is no_integral(why), see catch_abandoned().
abandon_integral <- function(why) {
  stop(structure(class = c("abandoned_integral", "error", "condition"),
    list(message = why, call = NULL)))
}

catch_abandoned <- function(expr) {
  tryCatch(expr, abandoned_integral = function(e) no_integral(conditionMessage(e)))
}

no_integral <- function(why) structure(list(), why = why)
is_integral <- function(nodes) length(nodes) > 0L
is_dear <- function(nodes) identical(attr(nodes, "why"), "too dear")
