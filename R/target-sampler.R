# Hamiltonian Monte Carlo on any log density: the engine, which knows points and numbers only.

# Kept draws and what they say about themselves. ev: function (Z (d x n), gradient) that returns
# list(lp, gradient); m, L: the metric z = m + L e, L lower triangular or a vector (a diagonal);
# start: d x chains, or NULL: over-dispersed in the metric. ask: who else answers than ev. Draws
# from R's generator.
hmc_run <- function(ev, m, L, chains = 4L, iter = 1000L, warmup = 500L,
                    method = c("nuts", "hmc"), target_accept = if (method == "hmc") 0.85 else 0.8,
                    max_leapfrogs = 24L, max_depth = 10L, adapt_metric = FALSE, start = NULL,
                    max_points = Inf, first_step = NULL, max_step = if (method == "hmc") 2 else Inf,
                    path_length = 1.6, progress = NULL,
                    ask = function(...) call_bb_hmc(ev, ...)) {
  method <- match.arg(method)
  settings <- list(nuts = method == "nuts", iter = as.integer(iter), warmup = as.integer(warmup),
    target = as.double(target_accept), first = first_step %||% min(1, 1.1 * length(m)^-0.25),
    most = as.double(max_step), length = as.double(path_length),
    max_leapfrogs = as.integer(max_leapfrogs), max_depth = as.integer(max_depth),
    windows = if (adapt_metric) metric_windows(warmup) else integer(),
    max_points = as.double(max_points))
  start <- start %||% dispersed_start(m, L, chains)
  out <- ask(start, list(m = as.double(m), L = L), settings, progress)
  hmc_draws(out, settings, ncol(start))
}

# Starts wider than the metric: SD 1.5 in its coordinates.
dispersed_start <- function(m, L, chains, spread = 1.5) {
  m + root_product(L, matrix(stats::rnorm(length(m) * chains, sd = spread), length(m)))
}

root_product <- function(L, e) if (is.matrix(L)) L %*% e else L * e

# Transitions after which the metric is learned: a first stretch that only moves, windows that
# double, a last one for the step alone, in the proportions of Stan.
metric_windows <- function(warmup) {
  if (warmup < 20L) return(integer())
  ends <- as.integer(floor(warmup * c(0.15, 0.9)))
  if (warmup >= 150L) ends <- as.integer(c(75, warmup - 50))
  width <- min(25L, ends[2L] - ends[1L])
  at <- ends[1L]
  while (at[length(at)] + 3L * width <= ends[2L]) {
    at <- c(at, at[length(at)] + width)
    width <- 2L * width
  }
  unique(c(at, ends[2L]))
}

# The core's result, cut to the rows that all chains have, with its arrays in shape.
hmc_draws <- function(out, settings, chains) {
  check_hmc_status(out$status)
  r <- out$result
  kept <- settings$iter - settings$warmup
  rows <- seq_len(min(r$kept))
  shaped <- function(x) array(x, c(kept, chains, length(x) / kept / chains))[rows, , , drop = FALSE]
  flat <- function(x) matrix(x, kept, chains)[rows, , drop = FALSE]
  depth <- flat(r$depth)
  list(z = shaped(r$z), lp = flat(r$lp), gradient = shaped(r$gradient),
    divergent = flat(r$divergent) > 0, energy = flat(r$energy), accept = flat(r$accept),
    n_leapfrog = flat(r$n_leapfrog), step = r$step, depth = depth,
    depth_hits = if (settings$nuts) sum(depth >= settings$max_depth) else 0L,
    asked = r$asked, m = r$m, L = r$L, complete = length(rows) == kept)
}

check_hmc_status <- function(status) {
  kind <- names(core_status)[match(status[1L], core_status)]
  switch(kind,
    interrupted = mf_interrupt(),
    nonfinite = mf_abort("start", "chain ", status[3L] + 1L, " finds no finite log density ",
      "between its start and the centre of the metric: give another `init`, or declare the ",
      "constraints of the parameters", arg = "init")
  )
  kind
}

# Estimated Bayesian fraction of missing information of each chain: how far energies move in a step,
# against how far they spread.
energy_fraction <- function(energy) {
  apply(energy, 2L, function(x) sum(diff(x)^2) / sum((x - mean(x))^2))
}

# What a run knows of itself, to be kept with a fit.
sampler_report <- function(run) {
  list(divergences = colSums(run$divergent), divergent = run$divergent,
    ebfmi = energy_fraction(run$energy), step = run$step, accept = colMeans(run$accept),
    n_leapfrog = run$n_leapfrog, depth_hits = run$depth_hits, asked = run$asked, m = run$m,
    L = run$L)
}

# What casts doubt on the draws, as warnings.
check_sampler <- function(report, method, max_depth) {
  n <- sum(report$divergences)
  if (n) {
    mf_warn("divergences", n, " of ", length(report$divergent), " transitions diverged: the ",
      "density is too sharp somewhere for the steps, and draws from there are missing; raise ",
      "`target_accept`, or reparameterise", arg = "target_accept")
  }
  low <- report$ebfmi < 0.2
  if (any(low, na.rm = TRUE)) {
    mf_warn("convergence", "the energy mixes slowly (E-BFMI ",
      format(min(report$ebfmi, na.rm = TRUE), digits = 2), ", below .2): tails are explored ",
      "badly; draw more (`iter`), or reparameterise", arg = "iter")
  }
  if (report$depth_hits > 0.01 * length(report$divergent)) {
    mf_warn("convergence", report$depth_hits, " trees reached their largest depth, ", max_depth,
      ": the draws are valid but dear; a better metric would help (more `warmup`)", arg = "warmup")
  }
}
