#' Control of the variational algorithm
#'
#' @param tol Convergence tolerance: the largest change of a log precision in a
#'   step (scale free). Default 1e-10; with Newton steps the last digits come
#'   almost free. Families other than the Gaussian end with the Newton step that leaves
#'   less than 1e-7 to go.
#' @param max_iter Largest number of sweeps. When it is reached the fit comes back
#'   with `converged = FALSE` and a warning of class
#'   `meanfield_warning_convergence`.
#' @param newton Take Newton steps from the linear-response matrix where they are
#'   safe (default)? `FALSE` is plain coordinate ascent.
#' @param trace Print one line per sweep?
#' @return A list of class `vb_control` with these four elements.
#' @section Errors: `meanfield_error_control` for values out of range.
#' @examples
#' fit_vb(log_radon ~ floor + (1 | county), radon,
#'        control = vb_control(newton = FALSE))
#' @export
vb_control <- function(tol = 1e-10, max_iter = 1000L, newton = TRUE, trace = FALSE) {
  structure(
    list(
      tol = check_number(tol, "tol", 0, strict = TRUE),
      max_iter = check_count(max_iter, "max_iter", 1, 1e6),
      newton = check_flag(newton, "newton"),
      trace = check_flag(trace, "trace")
    ),
    class = "vb_control"
  )
}

check_vb_control <- function(control) {
  if (!inherits(control, "vb_control")) {
    mf_abort("control", "`control` must be made by vb_control(), not ", describe(control),
      arg = "control"
    )
  }
  control
}
