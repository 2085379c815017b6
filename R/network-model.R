# Bayesian neural networks: the model, which is a target.

#' A Bayesian neural network to fit
#'
#' A feed-forward network with tanh units whose weights have normal priors, for numbers, two classes
#' or several. It is a [target()], so that [fit_vb()] and [fit_hmc()] work on it; the fits predict.
#'
#' @param x A numeric matrix or data frame of inputs, a row per observation. The prior is about
#'   functions of inputs of size one: [scale()] them.
#' @param y The response: numbers (`"gaussian"`); 0 and 1, `TRUE` and `FALSE` or a factor of two
#'   levels (`"binomial"`); a factor, text or whole numbers (`"categorical"`).
#' @param hidden Units of the hidden layers, such as `10` or `c(20, 10)`.
#' @param family `"gaussian"`: y ~ N(f(x), sigma^2). `"binomial"`: log odds f(x) of the second
#'   class. `"categorical"`: an output for each class, and their softmax.
#' @param prior_sd Standard deviation of the independent normal priors of all weights and biases.
#' @param sigma Of `"gaussian"`: a number, where the SD of the noise is known, or its prior, made by
#'   [half_t_prior()]; by default half-t with 4 degrees of freedom and the SD of `y` as its scale.
#'
#' @details
#' Variables are called `W1[i,j]` (weights from input or unit j to unit i), `b1[i]` (biases), `W2`,
#' ..., and `sigma`. Weights are not identified: units can be exchanged, and signs flipped. Means
#' and SDs of single weights therefore say nothing, and chains need not agree about them; what is
#' compared, summed up and judged by R-hat are values of the function.
#'
#' @return An object of class `bnn` (`meanfield_target`); `layers`, `task` and `given` are added to
#'   what [target()] makes.
#' @section Errors: `meanfield_error_data` for values that are missing, infinite, beyond 1e70, not
#'   numeric, for too few rows and for a `y` of the wrong type or length; `meanfield_error_rank` for
#'   constant columns; `meanfield_error_size` for more than a million weights;
#'   `meanfield_error_control` and `meanfield_error_prior` for the other arguments. Columns of `x`
#'   that are far from size one, and a `y` that the prior cannot reach, are a message,
#'   `meanfield_message_scale`.
#' @references Neal, R. M. (1996). *Bayesian Learning for Neural Networks*. Springer. Blundell, C.
#'   et al. (2015). Weight uncertainty in neural networks. *ICML*.
#' @seealso [fit_vb.bnn()], [predict.bnn_fit()], [predictive_report()]
#' @examples
#' bnn(scale(iris[1:4]), iris$Species, hidden = 4, family = "categorical")
#' @export
bnn <- function(x, y, hidden, family = c("gaussian", "binomial", "categorical"), prior_sd = 1,
                sigma = NULL) {
  call <- match.call()
  if (missing(x)) mf_abort("data", "`x`, a numeric matrix of inputs, is missing", arg = "x")
  if (missing(y)) mf_abort("data", "`y`, the response, is missing", arg = "y")
  if (missing(hidden)) {
    mf_abort("control", "`hidden`, the numbers of hidden units, is missing", arg = "hidden")
  }
  family <- check_choice(family, names(BNN_FAMILIES), "family")
  given <- list(x = x, y = y, hidden = hidden, family = family, prior_sd = prior_sd, sigma = sigma)
  x <- bnn_inputs(x)
  task <- bnn_task(x, y, family)
  hidden <- check_hidden(hidden)
  prior_sd <- check_number(prior_sd, "prior_sd", 0, strict = TRUE, kind = "prior")
  task$sigma <- bnn_sigma(sigma, family, task$y)
  layers <- dense_layers(ncol(x), hidden, max(1L, length(task$classes) - (family == "binomial")))
  check_weights(layers)
  tell_sizes(x, task, prior_sd, hidden)
  bnn_target(call, layers, task, prior_sd, given)
}

BNN_FAMILIES <- c(gaussian = 0L, binomial = 1L, categorical = 2L) # src/network/bnn.h

MOST_WEIGHTS <- 1e6 # each of which is a variable with a name, and points of its own

check_weights <- function(layers) {
  n <- count_weights(layers)
  if (n <= MOST_WEIGHTS) return(invisible())
  mf_abort("size", "the network has ", format(n, big.mark = ",", scientific = FALSE),
    " weights, and may have up to ", format(MOST_WEIGHTS, big.mark = ",", scientific = FALSE),
    ": use fewer `hidden` units, or fewer columns of `x`", arg = "hidden")
}

bnn_inputs <- function(x) {
  x <- numeric_matrix(x)
  if (nrow(x) < 2L) {
    mf_abort("data", "`x` has ", nrow(x), " row", if (nrow(x) != 1L) "s",
      ": a network needs at least 2", arg = "x")
  }
  if (max(abs(x)) > 1e70) {
    mf_abort("data", "`x` has numbers beyond 1e70: scale() it", arg = "x")
  }
  check_varying(x, colMeans(x), apply(x, 2L, stats::sd))
  x
}

# ---- the response --------------------------------------------------------------------------------

# list(x, y (as C has it), family (a code), kind, classes (NULL of numbers)); x: a column per row.
bnn_task <- function(x, y, family) {
  if (is.matrix(y) && ncol(y) == 1L) y <- drop(y)
  ok <- is.atomic(y) && !is.null(y) && is.null(dim(y))
  if (!ok) {
    mf_abort("data", "`y` must be a vector or a factor, not ", describe(y), arg = "y")
  }
  if (length(y) != nrow(x)) {
    mf_abort("data", "`y` has ", length(y), " values, and `x` ", nrow(x),
      " rows: give one for each",
      arg = "y")
  }
  if (anyNA(y)) {
    mf_abort("data", "`y` has ", sum(is.na(y)), " missing values: leave such rows out", arg = "y")
  }
  coded <- switch(family, gaussian = bnn_numbers(y), binomial = bnn_two_classes(y),
    categorical = bnn_classes(y))
  c(coded, list(x = t(unname(x)), family = BNN_FAMILIES[[family]], kind = family,
    columns = colnames(x)))
}

bnn_numbers <- function(y) {
  if (!is_plain_numeric(y)) {
    mf_abort("data", "`y` must be numbers, not ", describe(y), ": for classes use family = ",
      "\"binomial\" or \"categorical\"", arg = "y")
  }
  if (any(!is.finite(y)) || max(abs(y)) > 1e70) {
    mf_abort("data", "`y` has numbers that are infinite or beyond 1e70: leave such rows out, or ",
      "rescale it", arg = "y")
  }
  list(y = as.double(y))
}

bnn_two_classes <- function(y) {
  if (is.factor(y) || is.character(y)) {
    y <- as.factor(y)
    if (nlevels(y) != 2L) {
      mf_abort("data", "`y` has ", nlevels(y),
        " classes, and family = \"binomial\" needs two: use ",
        "family = \"categorical\", or droplevels()", arg = "y")
    }
    check_classes_present(y)
    return(list(y = as.double(y) - 1, classes = levels(y)))
  }
  if (!is.logical(y) && !(is_plain_numeric(y) && all(y %in% 0:1))) {
    mf_abort("data", "`y` must be 0 and 1, TRUE and FALSE, or a factor of two levels, not ",
      describe(y), arg = "y")
  }
  list(y = as.double(y), classes = c("0", "1"))
}

bnn_classes <- function(y) {
  whole <- is_plain_numeric(y) && all(is.finite(y)) && all(y == round(y))
  if (!is.factor(y) && !is.character(y) && !is.logical(y) && !whole) {
    mf_abort("data", "`y` must be a factor, text or whole numbers, not ", describe(y), arg = "y")
  }
  y <- as.factor(y)
  if (nlevels(y) < 2L || nlevels(y) > 1000L) {
    mf_abort("data", "`y` has ", nlevels(y), " class", if (nlevels(y) != 1L) "es",
      ": it must have from 2 to 1,000", arg = "y")
  }
  check_classes_present(y)
  list(y = as.double(y) - 1, classes = levels(y))
}

check_classes_present <- function(y) {
  empty <- levels(y)[tabulate(y, nlevels(y)) == 0L]
  if (length(empty)) {
    mf_abort("data", "`y` has no row of the class '", empty[1L], "': use droplevels(y)", arg = "y")
  }
}

# NULL, or list(known) or list(df, scale).
bnn_sigma <- function(sigma, family, y) {
  if (family != "gaussian") {
    if (is.null(sigma)) return(NULL)
    mf_abort("control", "`sigma` is for family = \"gaussian\": leave it out", arg = "sigma")
  }
  if (is.numeric(sigma)) {
    return(list(known = check_number(sigma, "sigma", 0, strict = TRUE, kind = "prior")))
  }
  sigma <- sigma %||% half_t_prior(4)
  if (!inherits(sigma, "meanfield_prior") || sigma$kind != "half_t" || length(sigma$scale) > 1L) {
    mf_abort("prior", "`sigma` must be a number, where it is known, or made by half_t_prior(), ",
      "not ", describe(sigma), arg = "sigma")
  }
  spread <- stats::sd(y)
  if (is.null(sigma$scale) && !(spread > 0)) {
    mf_abort("data", "`y` is constant: there is nothing to learn", arg = "y")
  }
  list(df = sigma$df, scale = sigma$scale %||% spread)
}

tell_sizes <- function(x, task, prior_sd, hidden) {
  size <- sqrt(colMeans(x^2))
  off <- size > 10 | size < 0.1
  if (any(off)) {
    at <- which(off)[1L]
    mf_inform("scale", "Column '", colnames(x)[at], "' of `x` has size ", format(size[at],
      digits = 2), ", and the prior is about inputs of size one: scale() it.")
  }
  reach <- prior_sd * sqrt(1 + utils::tail(hidden, 1L) * prior_sd^2)
  if (task$kind == "gaussian" && max(abs(task$y)) > 10 * reach) {
    mf_inform("scale", "`y` goes up to ", format(max(abs(task$y)), digits = 2),
      ", and functions of the prior have an SD of at most ", format(reach, digits = 2),
      ": scale() it, or raise `prior_sd`.")
  }
}

# ---- the target ----------------------------------------------------------------------------------

bnn_target <- function(call, layers, task, prior_sd, given) {
  init <- bnn_init(layers, task, prior_sd)
  user <- c(bnn_functions(layers, task, prior_sd, names(init)),
    list(generated = NULL, vectorised = TRUE, data = NULL))
  constraints <- if (!is.null(init$sigma)) list(sigma = positive()) else list()
  target <- build_target(call, user, init, constraints, rows = ncol(task$x))
  target <- finish_target(target, user$gradient, "in C, agrees with differences")
  target$layers <- layers
  target$task <- task
  target$prior_sd <- prior_sd
  target$given <- given
  class(target) <- c("bnn", class(target))
  target
}

# Half a draw from the prior: at zero all units are alike, and stay so.
bnn_init <- function(layers, task, prior_sd) {
  place <- layer_places(layers)
  blocks <- with_fixed_seed(lapply(seq_along(place$from), function(l) {
    d <- c(place$outputs[l], place$inputs[l])
    W <- matrix(stats::rnorm(prod(d), sd = prior_sd / (1 + sqrt(d[2L]))), d[1L], d[2L])
    if (l == 1L) dimnames(W) <- list(NULL, task$columns)
    list(W, numeric(d[1L]))
  }))
  init <- unlist(blocks, recursive = FALSE)
  names(init) <- paste0(c("W", "b"), rep(seq_along(blocks), each = 2L))
  if (!is.null(task$sigma$scale)) init$sigma <- task$sigma$scale / 2
  init
}

# The functions of a target, of blocks of points: log prior and log likelihood of rows.
bnn_functions <- function(layers, task, prior_sd, names) {
  weights <- setdiff(names, "sigma")
  place <- layer_places(layers)
  sizes <- c(rbind(place$inputs * place$outputs, place$outputs))
  at <- split(seq_len(sum(sizes)), rep(factor(seq_along(sizes)), sizes))
  flat <- function(p) do.call(cbind, lapply(weights, function(b) matrix(p[[b]], point_count(p))))
  shaped <- function(G, p) {
    out <- Map(function(i, b) array(G[, i], dim(p[[b]]) %||% nrow(G)), unname(at), weights)
    stats::setNames(out, weights)
  }
  likelihood <- function(p, i, slope) {
    part <- list(x = task$x[, i, drop = FALSE], y = task$y[i], family = task$family)
    sigma <- p$sigma %||% rep(task$sigma$known %||% 1, point_count(p))
    call_bnn(layers, part, t(flat(p)), log(sigma), slope)
  }
  list(
    log_density = function(p) {
      w <- flat(p)
      -rowSums(w^2) / (2 * prior_sd^2) - ncol(w) * (log(prior_sd) + log(2 * pi) / 2) +
        if (is.null(p$sigma)) 0 else log_half_t(p$sigma, task$sigma)
    },
    gradient = function(p) {
      out <- shaped(-flat(p) / prior_sd^2, p)
      if (!is.null(p$sigma)) out$sigma <- slope_half_t(p$sigma, task$sigma)
      out
    },
    log_lik = function(p, i) likelihood(p, i, FALSE)$lp,
    grad_log_lik = function(p, i) {
      own <- likelihood(p, i, TRUE)
      out <- shaped(t(own$slope), p)
      if (!is.null(p$sigma)) out$sigma <- own$by_log_sigma / p$sigma
      out
    }
  )
}

# Of a block: b1 is a vector of points, or points x units.
point_count <- function(p) NROW(p$b1)

log_half_t <- function(x, prior) {
  log(2) + stats::dt(x / prior$scale, prior$df, log = TRUE) - log(prior$scale)
}

slope_half_t <- function(x, prior) -(prior$df + 1) * x / (prior$df * prior$scale^2 + x^2)

# ---- print ---------------------------------------------------------------------------------------

#' @export
print.bnn <- function(x, ...) {
  no_dots(...)
  print_bnn_model(x)
  cat("Fit it with fit_vb() or fit_hmc().\n")
  invisible(x)
}

print_bnn_model <- function(model) {
  task <- model$task
  cat("Bayesian neural network ", paste(model$layers$size, collapse = "-"), ", ", task$kind, ", ",
    format(ncol(task$x), big.mark = ","), " rows\n", "Prior:  normal(0, ",
    format(model$prior_sd), ") of ", format(count_weights(model$layers), big.mark = ","),
    " weights", if (task$kind == "gaussian") {
      if (is.null(task$sigma$known)) paste0("; sigma half-t(", format(task$sigma$df), ", ",
        format(task$sigma$scale, digits = 3), ")") else
        paste("; sigma", format(task$sigma$known), "(known)")
    }, "\n", sep = "")
}
