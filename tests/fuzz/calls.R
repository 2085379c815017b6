# Random calls of the three engines for models. The tables of terms, priors and arguments are what
# to extend.

responses <- list(
  gaussian = c("y", "y", "y", "y", "log(abs(y) + 1)"),
  binomial = c("yb", "yb", "cbind(succ, fail)", "prop", "factor(yb)", "yb == 1"),
  poisson = "cnt", neg_binomial = "cnt"
)

fixed_terms <- c("x1", "x1", "x2", "f1", "lg", "o1", "ch", "poly(x1, 2)", "x1:f1", "x1*x2", "f1*lg",
  "I(x1^2)", "x3", "const", "tiny", "huge", "shift", "M", "splines::ns(x1, 3)", "scale(x2)",
  "offset(off)", "factor(one)", "h", "log(abs(x1) + 1)", "x1 %in% 0", "a", "day")

group_terms <- c("(1 | g)", "(1 | g)", "(1 | g)", "(x1 | g)", "(1 + x1 | g)", "(x1 || g)",
  "(0 + x1 | g)", "(f1 | g)", "(f1 || g)", "(0 + f1 | g)", "(1 | a/b)", "(1 | h)", "(1 | h)",
  "(x2 | h)", "(1 | g:h)", "(lg | h)", "(poly(x1, 2) | g)", "(1 | id)", "(1 | one)",
  "(1 | factor(g))", "(x1 + x2 | g)", "(o1 | h)", "(tiny | g)", "(huge | g)", "(shift | g)",
  "(const | g)", "(1 | x1)", "(1 | lg)", "(x1 * x2 | g)", "(1 | a:b)", "(x1 | a/b)", "(1 | ch)")

draw_formula <- function(family) {
  fixed <- sample(0:4, 1L, prob = c(.12, .33, .3, .15, .1))
  random <- sample(0:3, 1L, prob = c(.25, .45, .22, .08))
  wide <- if (chance(.2)) "(M | h)"
  parts <- c(if (chance(.07)) "0", sample(fixed_terms, fixed),
    sample(c(group_terms, wide), random))
  if (!length(parts)) parts <- "1"
  paste(pick(responses[[family]]), "~", paste(parts, collapse = " + "))
}

# ---- priors --------------------------------------------------------------------------

beta_priors <- list(
  function() NULL, function() NULL, function() bquote(normal_prior(0, .(number()))),
  function() bquote(normal_prior(.(number()), .(number()))), function() quote(flat_prior()),
  function() quote(flat_prior()),
  function() bquote(normal_prior(c(x1 = .(number())), c(x1 = .(number())))),
  function() quote(normal_prior(0, cov = diag(2))),
  function() bquote(normal_prior(sd = c(.(number()), 1)))
)
sd_priors <- list(
  function() NULL, function() bquote(gamma_prior(.(number()), .(number()))),
  function() bquote(half_t_prior(.(number()), .(number()))),
  function() bquote(half_t_prior(.(number()))),
  function() bquote(half_t_prior(3, c(.(number()), 1)))
)
draw_sd_prior <- function() pick(sd_priors)()
group_priors <- list(
  function() NULL, function() NULL, draw_sd_prior, draw_sd_prior,
  function() bquote(wishart_prior(.(number()), .(number()))),
  function() bquote(wishart_prior(3, diag(2) * .(number()))),
  function() bquote(list(g = .(draw_sd_prior() %||% quote(half_t_prior())))),
  function() quote(list(g = half_t_prior(4, 2), h = gamma_prior(1, 1))),
  function() if (chance(.3)) quote(list(nonsense = half_t_prior()))
)

# NULL for the default.
draw_prior <- function(family) {
  if (chance(.5)) return(NULL)
  args <- list(quote(priors))
  args$beta <- pick(beta_priors)()
  args$tau_u <- pick(group_priors)()
  if (family == "gaussian" && chance(.6)) args$tau_e <- draw_sd_prior()
  if (family == "neg_binomial" && chance(.6)) {
    args$phi <- bquote(gamma_prior(.(number()), .(number())))
  }
  as.call(args)
}

# ---- engines -------------------------------------------------------------------------

# fun, the families it is for (it is drawn for others too, now and then), its weight, and the
# arguments that it adds to the call.
engine <- function(fun, args, weight = 1, families = names(responses)) {
  list(fun = as.name(fun), args = args, weight = weight, families = families)
}
gibbs_args <- function(cl, family) {
  cl$chains <- pick(1:3)
  cl$iter <- pick(c(20, 150, 200, 300))
  cl$warmup <- pick(c(0, 10, 100, 100, 100))
  if (cl$warmup >= cl$iter && chance(.9)) cl$warmup <- 10
  if (family == "binomial") cl <- maybe(cl, "sampler", .5, c("polya-gamma", "hamiltonian"))
  cl <- maybe(cl, "thin", .2, 3)
  maybe(cl, "save_u", .2, c(TRUE, FALSE))
}
controls <- list(quote(vb_control(max_iter = 1)), quote(vb_control(newton = FALSE)),
  quote(vb_control(tol = 1e-3)), quote(vb_control(tol = 1e-300)))
yes_no <- c("no", "yes")
engines <- list(
  vb = engine("fit_vb", function(cl, family) {
    maybe(maybe(cl, "integrate", .15, "yes"), "control", .1, controls)
  }, 3),
  no = engine("fit_vb", function(cl, family) {
    cl$integrate <- "no"
    maybe(cl, "control", .1, controls)
  }),
  separate = engine("fit_vb", function(cl, family) {
    cl$blocks <- "separate"
    maybe(cl, "integrate", .5, yes_no)
  }, 1.5, "gaussian"),
  pg = engine("fit_vb", function(cl, family) {
    cl$approximation <- "pg"
    maybe(cl, "integrate", .5, yes_no)
  }, 2, "binomial"),
  exact = engine("fit_exact", function(cl, family) {
    maybe(cl, "draws", .3, c(100, 500))
  }, 1.5, "gaussian"),
  gibbs = engine("fit_gibbs", gibbs_args)
)

subsets <- list(quote(x1 > 0), quote(seq_along(y) <= 20), quote(lg), quote(-1), quote(f1 == "a"),
  quote(id != 3), quote(FALSE))
na_actions <- list(quote(na.exclude), quote(na.pass), quote(na.fail))
contrast_choices <- list(quote(list(f1 = "contr.sum")), quote(list(zz = "contr.sum")),
  quote(list(f1 = contr.helmert, o1 = "contr.treatment")))

# The formula as text; the call has it in the place of its first argument.
draw_model_call <- function() {
  family <- pick(rep(names(responses), c(5, 3, 2, 2)))
  formula <- draw_formula(family)
  able <- Filter(function(e) family %in% e$families || chance(.05), engines)
  chosen <- pick_by_weight(able)
  cl <- list(chosen$fun, str2lang(formula), data = quote(d))
  if (family != "gaussian") cl$family <- call(family)
  cl$prior <- draw_prior(family)
  cl <- chosen$args(cl, family)
  if (grepl("^prop ~", formula)) cl$weights <- quote(size) else
    cl <- maybe(cl, "weights", .15, list(quote(w)))
  cl <- maybe(cl, "offset", .1, list(quote(off)))
  cl <- maybe(cl, "subset", .1, subsets)
  cl <- maybe(cl, "na.action", .08, na_actions)
  cl <- maybe(cl, "contrasts", .08, contrast_choices)
  if (chance(.05)) cl$model <- FALSE
  list(call = as.call(cl), formula = formula, family = family)
}

# ---- spellings -----------------------------------------------------------------------

# The same fit, written in another way.
odd_names <- list(x1 = "x 1", g = "group id", f1 = "f-1", h = "if", y = "y^2", cnt = "1count")
spellings <- list(
  plain = list(weight = 12, spell = function(x) x),
  variable = list(weight = 1, spell = function(x) { # a formula by its name
    x$objects$fo <- stats::as.formula(x$call[[2L]], env = globalenv())
    x$call[[2L]] <- quote(fo)
    x
  }),
  text = list(weight = .5, spell = function(x) { # no formula at all
    x$call[[2L]] <- deparse1(x$call[[2L]])
    x
  }),
  data_first = list(weight = 1, spell = function(x) {
    cl <- as.list(x$call)
    x$call <- as.call(c(cl[1L], list(quote(d), cl[[2L]]), cl[setdiff(names(cl), c("", "data"))]))
    x
  }),
  odd_names = list(weight = 1.5, spell = function(x) {
    there <- odd_names[names(odd_names) %in% names(x$d)]
    x$call <- do.call(substitute, list(x$call, lapply(there, as.name)))
    names(x$d)[match(names(there), names(x$d))] <- unlist(there)
    x$column <- function(name) odd_names[[name]] %||% name
    x
  }),
  tibble = list(weight = 1.5, spell = function(x) {
    if (requireNamespace("tibble", quietly = TRUE)) x$d <- tibble::as_tibble(x$d)
    x
  }),
  no_data = list(weight = .5, spell = function(x) { # variables from the formula's environment
    x$objects <- c(x$objects, as.list(x$d))
    x$call$data <- NULL
    x
  })
)

# One case: list(call, d, objects (what else the call names), column (name -> the column's own),
# family, text).
draw_model_case <- function() {
  x <- draw_data()
  drawn <- draw_model_call()
  x <- c(x, list(call = drawn$call, family = drawn$family, formula = drawn$formula,
    objects = list(), column = identity))
  how <- sample(names(spellings), 1L, prob = vapply(spellings, `[[`, 0, "weight"))
  x <- spellings[[how]]$spell(x)
  x$spelling <- how
  x$default_prior <- is.null(x$call$prior)
  x$text <- sprintf("n=%d G=%d {%s} %s", x$n, x$groups, paste(x$tags, collapse = ","),
    one_line(deparse1(x$call), 600L))
  x
}
