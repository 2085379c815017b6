# What the files of this directory share. A file adds functions to the list `targets`; each returns
# a case: a log density, what a fit needs beside it, and the truth that a fit is judged by.
#
#   kind     "regular": a fit should be right; "hard": right, or wrong and said so;
#            "refuse": there is nothing to be right about, only words will do
#   truth    data.frame(variable, mean, sd, mcse_mean, mcse_sd); NA where a moment does not exist
#   log_evidence  log integral of exp(log_density) over the constrained parameters, or NA
#
# Data are simulated by data-raw/targets/data.R, truths computed by data-raw/targets/truth.R.

targets <- list()

# constraints is a function, so that the constructors are looked up when a fit needs them.
case <- function(log_density, init, kind = "regular", constraints = function() list(),
                 data = NULL, gradient = NULL, generated = NULL) {
  stopifnot(kind %in% c("regular", "hard", "refuse"))
  list(
    log_density = log_density, init = init, kind = kind, constraints = constraints,
    data = data, gradient = gradient, generated = generated
  )
}

# All cases of one theme set ("half-a", "half-b", "posteriordb") by name, their truths beside them.
read_targets <- function(set, dir, constructors = globalenv()) {
  env <- new.env(parent = constructors)
  sys.source(file.path(dir, "common.R"), env)
  data_file <- file.path(dir, paste0("data-", set, ".rds"))
  env$simulated <- if (file.exists(data_file)) readRDS(data_file)
  for (file in list.files(dir, paste0("^", set, "-.*[.]R$"), full.names = TRUE)) {
    sys.source(file, env)
  }
  truth_file <- file.path(dir, paste0("truth-", set, ".csv"))
  truths <- if (file.exists(truth_file)) utils::read.csv(truth_file)
  Map(function(make, name) with_truth(make(), name, truths), env$targets, names(env$targets))
}

# Rows of the truth table that belong to a case; the row "log_evidence" is taken out.
with_truth <- function(case, name, truths) {
  mine <- truths[truths$target == name, ]
  evidence <- mine$mean[mine$variable == "log_evidence"]
  case$name <- name
  case$truth <- mine[mine$variable != "log_evidence", setdiff(names(mine), "target")]
  case$log_evidence <- if (length(evidence)) evidence else NA_real_
  case
}

# ---- what log densities share ------------------------------------------------------------------

log_sum_exp <- function(x) {
  m <- max(x)
  if (is.finite(m)) m + log(sum(exp(x - m))) else m
}

log_half_cauchy <- function(x, scale) log(2 / (pi * scale)) - log1p((x / scale)^2)

log_half_normal <- function(x, scale) log(2) + dnorm(x, 0, scale, log = TRUE)

log_bernoulli_logit <- function(y, eta) sum(y * eta - pmax(eta, 0) - log1p(exp(-abs(eta))))

# Gauss-Hermite nodes and log weights for the standard normal, by Golub and Welsch.
normal_nodes <- function(n) {
  jacobi <- matrix(0, n, n)
  jacobi[cbind(seq_len(n - 1), 2:n)] <- jacobi[cbind(2:n, seq_len(n - 1))] <- sqrt(seq_len(n - 1))
  e <- eigen(jacobi, symmetric = TRUE)
  list(x = e$values, log_w = 2 * log(abs(e$vectors[1, ])))
}
