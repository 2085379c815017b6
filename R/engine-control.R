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
#' @param points Of a [target()]: number of fixed points that a Gaussian fit averages over; `NULL`
#'   chooses it by the dimension. More points bring the fit closer to the optimum of its family.
#' @param importance_points Of a target: points of the first round of importance sampling, per mode;
#'   each further round has twice as many.
#' @param max_gradients Of a target: most evaluations of the gradient.
#' @param seed,steps,draws,batch_size,replacement Of a target with a stochastic optimiser: seed of
#'   its own generator; number of steps (`NULL`: 2,000); draws per step (`NULL`: 4 pathwise, 16
#'   score); rows per step (`NULL`: all) of a target with `rows`, and whether they are drawn with
#'   replacement. Of a flow: the first seed of its starts; steps of each (`NULL`: 4,000); draws per
#'   step (`NULL`: 256).
#' @param layers,hidden,starts Of a target with `approximation = "flow"`: coupling layers (0: none,
#'   the Gaussian), tanh units of each layer's network, and from how many starts it is trained.
#' @param epochs Of a [vae()]: passes over the rows; `NULL` makes 10,000 steps, and at least 60.
#'   `seed`, `steps` and `batch_size` are for it too.
#' @return A list of class `vb_control` with these elements.
#' @section Errors: `meanfield_error_control` for values out of range.
#' @details
#' `tol`, `max_iter` and `newton` are for regression models and mixtures, what comes after `trace`
#' is for targets; each leaves the other's alone.
#' @examples
#' fit_vb(log_radon ~ floor + (1 | county), radon,
#'        control = vb_control(newton = FALSE))
#' @export
vb_control <- function(tol = 1e-10, max_iter = 1000L, newton = TRUE, trace = FALSE,
                       points = NULL, importance_points = 1024L, max_gradients = 20000,
                       seed = 1L, steps = NULL, draws = NULL, batch_size = NULL,
                       replacement = FALSE, layers = 6L, hidden = 8L, starts = 3L, epochs = NULL) {
  or_null <- function(x, ...) if (!is.null(x)) check_count(x, ...)
  if (nargs() == 0L) return(DEFAULT_CONTROL)
  new_class("vb_control",
    list(
      tol = check_number(tol, "tol", 0, strict = TRUE),
      max_iter = check_count(max_iter, "max_iter", 1, 1e6),
      newton = check_flag(newton, "newton"),
      trace = check_flag(trace, "trace"),
      points = or_null(points, "points", 4, 1e6),
      importance_points = check_count(importance_points, "importance_points", 64, 1e6),
      max_gradients = check_count(max_gradients, "max_gradients", 100),
      seed = check_count(seed, "seed", 0), steps = or_null(steps, "steps", 1),
      draws = or_null(draws, "draws", 1, 1e6), batch_size = or_null(batch_size, "batch_size", 1),
      replacement = check_flag(replacement, "replacement"),
      layers = check_count(layers, "layers", 0, 64),
      hidden = check_count(hidden, "hidden", 1, 1024),
      starts = check_count(starts, "starts", 1, 100),
      epochs = or_null(epochs, "epochs", 1)
    )
  )
}

# Every fit without `control` asks for it.
DEFAULT_CONTROL <- vb_control(tol = 1e-10)

check_vb_control <- function(control) {
  if (!inherits(control, "vb_control")) {
    mf_abort("control", "`control` must be made by vb_control(), not ", describe(control),
      arg = "control"
    )
  }
  control
}
