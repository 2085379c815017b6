# What every part of the fuzzer uses: choices, the conditions that checks raise, and how a step is
# run and judged.

`%||%` <- function(a, b) if (is.null(a)) b else a
pick <- function(x) x[[sample.int(length(x), 1L)]]
pick_by_weight <- function(table) {
  table[[sample.int(length(table), 1L, prob = vapply(table, `[[`, 0, "weight"))]]
}
chance <- function(p) stats::runif(1) < p
# An argument of a call being made, with probability p.
maybe <- function(call, name, p, values) {
  if (chance(p)) call[[name]] <- pick(values)
  call
}
number <- function() {
  pick(c(1, 1, 1, .5, 3, 10, 100, 1e-3, 1e3, 1e-8, 1e8, 1e-300, 1e300, 1e-15, 1e15))
}

# A check's verdict: the numbers are wrong in themselves, or two ways to them disagree.
wrong <- function(...) stop(errorCondition(paste0(...), class = "fuzz_value", call = NULL))
disagree <- function(...) stop(errorCondition(paste0(...), class = "fuzz_disagree", call = NULL))

# ---- whose condition is it -----------------------------------------------------------

# Classes of a line: "ok"; "classed", a refusal of the package's own; "foreign", see below; and the
# bad ones.
bad_classes <- c("UNCLASSED", "warning-unclassed", "VALUE", "DISAGREE", "HANG", "CRASH")

# A condition without a class of ours counts against the package when a function of the package is
# on the stack where it is raised. It is foreign, and counts as nothing, in three cases only:
# - no function of the package is on the stack: it comes from the fuzzer's own expression, or from
#   another package before it called us;
# - it is a warning of an expression of the user's formula, which model.frame() is evaluating, as
#   "NaNs produced" of log(x): lm() passes those on too;
# - it is a warning of the package that owns the generic, as loo()'s about Pareto k: who calls its
#   generic knows them (owner).
raised_by <- function(frames, is_warning, owner) {
  home <- vapply(frames, function(f) environmentName(topenv(environment(f))), "")
  ours <- which(home == "meanfield")
  if (!length(ours)) return("foreign")
  inner <- seq_along(frames) > max(ours)
  framing <- vapply(frames[inner], identical, NA, stats::model.frame.default)
  if (is_warning && (any(framing) || any(home[inner] %in% owner))) return("foreign")
  "ours"
}

# The innermost functions of the package on the stack, to tell faults apart.
where_in <- function(calls) {
  known <- ls(asNamespace("meanfield"), all.names = TRUE)
  heads <- vapply(calls, function(x) if (is.name(x[[1L]])) as.character(x[[1L]]) else "", "")
  paste(utils::tail(unique(heads[heads %in% known]), 4L), collapse = ">")
}

stack <- function() lapply(seq_len(sys.nframe()), sys.function)

one_line <- function(x, most = 300L) substr(gsub("\\s+", " ", x), 1L, most)

# Runs an expression: list(class, where, message, warnings, value).
run_step <- function(expr, owner = character()) {
  out <- list(class = "ok", where = "", message = "", warnings = list(), value = NULL)
  raised <- "ours"
  see_warning <- function(w) {
    if (!inherits(w, "meanfield_warning") && raised_by(stack(), TRUE, owner) == "ours") {
      out$warnings[[length(out$warnings) + 1L]] <<- list(where = where_in(sys.calls()),
        message = one_line(conditionMessage(w)))
    }
    invokeRestart("muffleWarning")
  }
  see_error <- function(e) {
    raised <<- raised_by(stack(), FALSE, owner)
    out$where <<- where_in(sys.calls())
  }
  failed <- function(class, e) {
    out$class <<- class
    out$message <<- one_line(conditionMessage(e))
    NULL
  }
  out$value <- tryCatch(
    withCallingHandlers(expr, warning = see_warning, error = see_error),
    fuzz_value = function(e) failed("VALUE", e),
    fuzz_disagree = function(e) failed("DISAGREE", e),
    meanfield_error = function(e) failed("classed", e),
    error = function(e) failed(if (raised == "ours") "UNCLASSED" else "foreign", e)
  )
  out$warnings <- unique(out$warnings)
  out
}
