# Random mixtures: data, priors, calls.

draw_clusters <- function() {
  n <- pick(c(2, 4, 6, 10, 25, 60, 120, 300))
  p <- pick(c(1, 1, 2, 2, 3, 4))
  true <- pick(1:4)
  code <- sample.int(true, n, TRUE)
  centre <- matrix(stats::rnorm(true * p, 0, pick(c(0, 1, 3, 10))), true)
  x <- centre[code, , drop = FALSE] + matrix(stats::rnorm(n * p), n)
  colnames(x) <- pick(list(letters[seq_len(p)], paste0("v", seq_len(p)), paste("a b", seq_len(p))))
  x
}

mixture_mutations <- list(
  scale = mutation(.10, function(x) sweep(x, 2L, 10^stats::runif(ncol(x), -8, 8), `*`)),
  shift = mutation(.08, function(x) x + pick(c(1e6, -1e8))),
  ties = mutation(.08, function(x) round(x)),
  copies = mutation(.06, function(x) x[rep_len(seq_len(max(1L, nrow(x) %/% 4L)), nrow(x)), ,
    drop = FALSE]),
  constant = mutation(.04, function(x) {
    x[, 1L] <- 1
    x
  }),
  collinear = mutation(.04, function(x) if (ncol(x) > 1L) cbind(x, sum = x[, 1L] + x[, 2L]) else x),
  outlier = mutation(.06, function(x) {
    x[1L, ] <- pick(c(1e3, 1e6, 1e12))
    x
  }),
  bad = mutation(.04, function(x) spoil(x, c(NA, NaN, Inf, -Inf))),
  huge = mutation(.03, function(x) x * pick(c(1e150, 1e-150, 1e300))),
  nameless = mutation(.08, function(x) unname(x)),
  twice = mutation(.03, function(x) {
    colnames(x) <- rep("a", ncol(x))
    x
  })
)

# What gaussian_mixture() is given.
mixture_forms <- list(
  matrix = function(x) list(quote(obs), data = NULL),
  frame = function(x) list(quote(as.data.frame(obs)), data = NULL),
  formula = function(x) list(quote(~.), data = quote(as.data.frame(obs))),
  integers = function(x) list(quote(round(pmax(pmin(obs, 1e9), -1e9))), data = NULL)
)

mixture_priors <- list(
  function(p) NULL, function(p) NULL, function(p) NULL, function(p) quote(flat_prior()),
  function(p) bquote(mixture_prior(k0 = .(number()))),
  function(p) bquote(mixture_prior(alpha = .(number()), df = .(p + number()))),
  function(p) bquote(mixture_prior(cov = .(number()))),
  function(p) bquote(mixture_prior(mean = .(number()), scale = diag(.(number()), .(p)))),
  function(p) quote(mixture_prior(k0 = 0))
)

mixture_engines <- list(
  vb = list(weight = 3, make = function(model, x) {
    cl <- list(quote(fit_vb), model)
    cl <- maybe(cl, "starts", .4, c(1, 3, 20))
    cl <- maybe(cl, "start", .1, list(quote(rep_len(1:2, nrow(obs))), quote(rep(1, nrow(obs)))))
    cl <- maybe(cl, "seed", .2, c(0, 7))
    maybe(cl, "control", .15, controls)
  }),
  gibbs = list(weight = 1, make = function(model, x) {
    list(quote(fit_gibbs), model, chains = pick(1:2), iter = pick(c(20, 120)),
      warmup = pick(c(0, 10)))
  })
)

draw_mixture_case <- function() {
  x <- draw_clusters()
  tags <- names(mixture_mutations)[vapply(mixture_mutations, function(m) chance(m$p), NA)]
  for (t in tags) x <- mixture_mutations[[t]]$change(x)
  form <- pick(mixture_forms)(x)
  model <- list(quote(gaussian_mixture), form[[1L]], k = pick(c(1, 2, 2, 3, 5)))
  model$data <- form$data
  model$prior <- pick(mixture_priors)(ncol(x))
  cl <- as.call(pick_by_weight(mixture_engines)$make(as.call(model), x))
  list(call = cl, d = as.data.frame(x), x = x, objects = list(obs = x), tags = tags,
    column = identity, text = sprintf("n=%d P=%d {%s} %s", nrow(x), ncol(x),
      paste(tags, collapse = ","), one_line(deparse1(cl), 600L)))
}
