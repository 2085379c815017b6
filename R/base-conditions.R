# Classed conditions. Every error the package raises on purpose has the classes
# meanfield_error_<kind>, meanfield_error, error; `arg` names the argument.

mf_abort <- function(kind, ..., arg = NULL, call = NULL) {
  stop(errorCondition(
    paste0(...),
    class = c(paste0("meanfield_error_", kind), "meanfield_error"),
    arg = arg, call = call
  ))
}

mf_warn <- function(kind, ..., arg = NULL) {
  warning(warningCondition(
    paste0(...),
    class = c(paste0("meanfield_warning_", kind), "meanfield_warning"),
    arg = arg
  ))
}

# R's own "cannot allocate vector of size ..." is no fault of the formula or the data.
stop_if_memory <- function(e) {
  if (!is_out_of_memory(conditionMessage(e))) return(invisible())
  mf_abort("memory", conditionMessage(e), ": use fewer rows, draws or terms")
}

is_out_of_memory <- function(message) {
  own <- sub("%.*", "", gettext("cannot allocate vector of size %0.1f Gb", domain = "R"))
  startsWith(message, own) || grepl("cannot allocate|memory exhausted", message)
}

mf_inform <- function(kind, ...) {
  message(structure(list(message = paste0(..., "\n"), call = NULL),
    class = c(paste0("meanfield_message_", kind), "meanfield_message", "message", "condition")))
}

# Ctrl-C seen by the C core, which swallowed it: send it again, so that R treats it as any
# other (handlers, finally, on.exit, exit status).
mf_interrupt <- function() {
  if (.Platform$OS.type == "unix") {
    tools::pskill(Sys.getpid(), tools::SIGINT)
    Sys.sleep(1) # the signal arrives here
  }
  signalCondition(structure(
    class = c("meanfield_interrupt", "interrupt", "condition"),
    list(message = "interrupted by the user", call = NULL)
  ))
  invokeRestart("abort")
}

# Status codes of src/base/core.h.
core_status <- c(
  ok = 0L, maxit = 1L, interrupted = 2L, not_pd_leaf = 3L,
  not_pd_global = 4L, nonfinite = 5L, full = 6L, dear = 7L
)
