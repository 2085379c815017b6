# The matrix: every exported function and method on every kind of fit, as a table of rows (what is
# called, what has to come back) over a table of cells (structure x response x engine). A new
# family, structure or engine is one entry below; a new method is one row in helper-rows-models.R.

# ---- data ----------------------------------------------------------------------------

matrix_data <- function() {
  set.seed(11)
  n <- 60
  d <- data.frame(
    x = rnorm(n, 1), f = factor(rep(c("a", "b", "c"), 20)), g = gl(6, 10, labels = letters[1:6]),
    h = factor(rep(rep(1:2, each = 5), 6)), k = factor(rep(LETTERS[1:5], 12)), trials = 8
  )
  eta <- 0.3 + 0.5 * d$x + 0.4 * (d$f == "b") + rnorm(6, sd = 0.7)[d$g]
  d$y <- 2 * eta + rnorm(n)
  d$hit <- rbinom(n, 1, plogis(eta))
  d$won <- rbinom(n, 8, plogis(eta))
  d$lost <- 8 - d$won
  d$share <- d$won / 8
  d$count <- rpois(n, exp(eta))
  d$spread <- rnbinom(n, mu = exp(eta), size = 2)
  d
}

# ---- the axes ------------------------------------------------------------------------

# terms: what (1 | g) and its like stand for: group, coefficients, one vector or each alone.
matrix_term <- function(group, coef = "(Intercept)", vector = length(coef) > 1) {
  list(group = group, coef = coef, vector = vector)
}
matrix_structures <- list(
  none = list(bars = character(), terms = list()),
  intercept = list(bars = "(1 | g)", terms = list(matrix_term("g"))),
  slopes = list(bars = "(1 + x | g)", terms = list(matrix_term("g", c("(Intercept)", "x")))),
  independent = list(bars = "(x || g)",
    terms = list(matrix_term("g", c("(Intercept)", "x"), vector = FALSE))),
  nested = list(bars = "(1 | g/h)", terms = list(matrix_term("h:g"), matrix_term("g"))),
  crossed = list(bars = c("(1 | g)", "(1 | k)"), terms = list(matrix_term("g"), matrix_term("k"))),
  interaction = list(bars = "(1 | g:k)", terms = list(matrix_term("g:k")))
)
matrix_levels <- c(g = 6L, k = 5L, "h:g" = 12L, "g:k" = 30L)

# y: the response on the scale of fitted(); put: the data with simulated responses in their place.
matrix_response <- function(lhs, family, y, put, lead = character(), ...) {
  list(lhs = lhs, family = substitute(family), y = y, put = put, lead = lead, ...)
}
matrix_responses <- list(
  gaussian = matrix_response("y", gaussian(), function(d) d$y,
    function(d, y) replace(d, "y", list(y)), lead = "tau_e"),
  binary = matrix_response("hit", binomial(), function(d) d$hit,
    function(d, y) replace(d, "hit", list(y))),
  trials = matrix_response("cbind(won, lost)", binomial(), function(d) d$won / 8,
    function(d, y) replace(d, c("won", "lost"), list(y[, 1L], y[, 2L])), size = 8),
  proportion = matrix_response("share", binomial(), function(d) d$share,
    function(d, y) replace(d, "share", list(y)), size = 8, weights = quote(trials)),
  poisson = matrix_response("count", poisson(), function(d) d$count,
    function(d, y) replace(d, "count", list(y))),
  neg_binomial = matrix_response("spread", neg_binomial(), function(d) d$spread,
    function(d, y) replace(d, "spread", list(y)), lead = "phi")
)

# fits: the families an engine is for; it has to refuse the others.
every_family <- c("gaussian", "binomial", "poisson", "neg_binomial")
matrix_engine <- function(fun, args = list(), fits = every_family) {
  list(fun = as.name(fun), args = args, fits = fits)
}
matrix_engines <- list(
  vb = matrix_engine("fit_vb"),
  no = matrix_engine("fit_vb", list(integrate = "no")),
  yes = matrix_engine("fit_vb", list(integrate = "yes")),
  pg = matrix_engine("fit_vb", list(approximation = "pg"), "binomial"),
  separate = matrix_engine("fit_vb", list(blocks = "separate"), "gaussian"),
  exact = matrix_engine("fit_exact", fits = "gaussian"),
  iterated = matrix_engine("fit_vb", list(integrate = "no"), "gaussian"),
  gibbs = matrix_engine("fit_gibbs", list(chains = 2, iter = 500, warmup = 200))
)
# Of these the engine without a matrix is for those that have intercepts only.
iterated_structures <- c("intercept", "nested", "crossed", "interaction")

# ---- cells ---------------------------------------------------------------------------

all_matrix_cells <- function() {
  grid <- expand.grid(structure = names(matrix_structures), response = names(matrix_responses),
    engine = names(matrix_engines), stringsAsFactors = FALSE)
  family <- vapply(matrix_responses, function(r) as.character(r$family[[1L]]), "")
  grid$family <- family[grid$response]
  grid$fits <- mapply(function(e, f) f %in% matrix_engines[[e]]$fits, grid$engine, grid$family)
  grid$id <- paste(grid$response, grid$structure, grid$engine, sep = "/")
  grid[grid$engine != "iterated" | grid$structure %in% iterated_structures, ]
}

# The fewest cells (greedily) in which every pair of structure, response and engine that can meet
# does. Which faults need three to meet is for level 3, which runs all cells.
thin_matrix_cells <- function(cells) {
  axes <- list(c("structure", "response"), c("structure", "engine"), c("response", "engine"))
  pairs <- vapply(axes, function(a) do.call(paste, cells[a]), character(nrow(cells)))
  keep <- integer()
  left <- unique(c(pairs))
  while (length(left)) {
    gain <- rowSums(matrix(pairs %in% left, nrow(pairs)))
    keep <- c(keep, which.max(gain))
    left <- setdiff(left, pairs[which.max(gain), ])
  }
  cells[sort(keep), ]
}

matrix_cells <- function(level = test_level()) {
  cells <- all_matrix_cells()
  cells <- cells[cells$fits, ]
  if (level >= 3) cells else thin_matrix_cells(cells)
}

# Of the cells that a row is for, those it runs on: below level 3 so many that it sees every
# structure, response and engine; from another cell on for every row, so that rows differ.
cells_of_row <- function(cells, applies, offset, level = test_level()) {
  at <- which(applies)
  if (level >= 3 || !length(at)) return(at)
  at <- at[(seq_along(at) + offset - 1L) %% length(at) + 1L]
  seen <- character()
  keep <- integer()
  for (i in at) {
    own <- unlist(cells[i, c("structure", "response", "engine")])
    if (all(own %in% seen)) next
    keep <- c(keep, i)
    seen <- c(seen, own)
  }
  sort(keep)
}

refused_matrix_cells <- function() {
  cells <- all_matrix_cells()
  cells[!cells$fits & cells$structure %in% c("none", "slopes"), ]
}

cell_formula <- function(cell) {
  bars <- matrix_structures[[cell$structure]]$bars
  stats::as.formula(paste(matrix_responses[[cell$response]]$lhs, "~",
    paste(c("x", "f", bars), collapse = " + ")), env = globalenv())
}

cell_call <- function(cell) {
  response <- matrix_responses[[cell$response]]
  engine <- matrix_engines[[cell$engine]]
  as.call(c(list(engine$fun, cell_formula(cell), data = quote(d), family = response$family),
    if (!is.null(response$weights)) list(weights = response$weights), engine$args))
}

# What a row may name: the fit, its data, and what is known of it beforehand.
cell_scope <- function(cell, d, parent) {
  response <- matrix_responses[[cell$response]]
  terms <- matrix_structures[[cell$structure]]$terms
  family <- eval(response$family)
  e <- list2env(list(cell = cell, d = d, n = nrow(d), p = 4L), parent = parent)
  e$fixed <- c("(Intercept)", "x", "fb", "fc")
  e$beta <- paste0("beta[", e$fixed, "]")
  e$groups <- length(terms) > 0L
  e$u <- cell_effects(terms, d)
  e$counts <- matrix_counts(terms, d)
  e$precisions <- cell_precisions(response, terms)
  e$family <- family$family
  e$gaussian <- family$family == "gaussian"
  e$linkinv <- family$linkinv
  e$size <- if (is.null(response$size)) 1 else response$size
  e$y <- response$y(d)
  e$gibbs <- cell$engine == "gibbs"
  e$exact <- cell$engine == "exact"
  e$vb <- !e$gibbs && !e$exact
  e$iterated <- cell$engine == "iterated"
  later <- function(name, expr) {
    do.call(delayedAssign, list(name, substitute(expr), eval.env = e, assign.env = e))
  }
  later("fit", cell_fit(cell, d))
  later("s", by_name(summary(fit, pars = "u")))
  later("integrated", vb && s[beta[1L], "source"] == "integrated")
  later("draws", cell_draws(fit, gibbs))
  e
}

cell_fit <- function(cell, d) {
  set.seed(1)
  cell_fit_unseeded(cell, d)
}
cell_fit_unseeded <- function(cell, d) {
  fit <- suppressWarnings(eval(cell_call(cell), list2env(list(d = d), parent = globalenv())),
    classes = "meanfield_warning")
  if (cell$engine == "iterated") without_matrix(fit) else fit
}

# The fit by conjugate gradients, as it is made of many levels.
without_matrix <- function(fit) {
  model <- fit$model
  model$iterations <- iteration_settings(few = 1L)
  suppressWarnings(new_vb_fit(fit$call, model, vb_control(), "no"), classes = "meanfield_warning")
}

group_of <- function(term, d) {
  parts <- strsplit(term$group, ":")[[1L]]
  do.call(paste, c(lapply(d[parts], as.character), sep = ":"))
}

matrix_counts <- function(terms, d) {
  counts <- vapply(terms, function(t) length(unique(group_of(t, d))), 1L)
  names(counts) <- vapply(terms, `[[`, "", "group")
  counts[!duplicated(names(counts))]
}

# u[g:a], or u[g:a,x] where a level has several coefficients.
cell_effects <- function(terms, d) {
  unlist(lapply(terms, function(t) {
    level <- unique(group_of(t, d))
    plain <- identical(t$coef, "(Intercept)")
    tail <- if (plain) "" else paste0(",", rep(t$coef, length(level)))
    paste0("u[", t$group, ":", rep(level, each = length(t$coef)), tail, "]")
  }))
}

# The rows of summary() between the coefficients and the effects, in its order.
cell_precisions <- function(response, terms) {
  lead <- switch(paste(response$lead, collapse = ""), tau_e = c("tau_e", "log_tau_e", "sigma_e"),
    phi = c("phi", "log_phi"))
  names_of <- function(t) if (t$vector) vector_names_of(t) else scalar_names_of(t)
  c(lead, unlist(lapply(terms, names_of)))
}

scalar_names_of <- function(term) {
  what <- paste0(term$group, if (length(term$coef) > 1L) paste0(":", term$coef))
  stems <- c("tau_u", "log_tau_u", "sigma_u", "log_sigma_u")
  unlist(lapply(what, function(w) paste0(stems, "[", w, "]")))
}

vector_names_of <- function(term) {
  pairs <- function(diagonal) {
    at <- which(lower.tri(diag(length(term$coef)), diag = diagonal), arr.ind = TRUE)
    paste0(term$coef[at[, 2L]], ",", term$coef[at[, 1L]])
  }
  named <- function(stem, what) paste0(stem, "[", term$group, ":", what, "]")
  c(named("Lambda_u", pairs(TRUE)), named("sigma_u", term$coef), named("log_sigma_u", term$coef),
    named("rho_u", pairs(FALSE)))
}

cell_draws <- function(fit, gibbs) {
  set.seed(2)
  draws <- if (gibbs) as_draws(fit, u = TRUE) else as_draws(fit, ndraws = 2000, u = TRUE)
  posterior::as_draws_array(draws)
}

# ---- rows ----------------------------------------------------------------------------

# One row. call: what is called. shape and check: expressions that are "" or a complaint about
# `value`, what came back. refuses: where a classed error has to come instead, and nowhere else.
# of: what the generic dispatches on. na: may numbers be missing? when: cells the row is for.
# warns: what another package may warn of in it (a pattern); needs: packages.
matrix_row <- function(generic, call, shape = "", check = "", refuses = FALSE, of = fit,
                       na = FALSE, when = TRUE, warns = "^$", needs = character(), level = 1) {
  list(generic = generic, label = deparse1(substitute(call)), call = substitute(call),
    shape = substitute(shape), check = substitute(check), refuses = substitute(refuses),
    of = substitute(of), na = substitute(na), when = substitute(when), warns = warns, needs = needs,
    level = level)
}

# The outcome of a row in a scope: "" or what is wrong.
run_matrix_row <- function(row, scope) {
  here <- function(expr) eval(expr, scope)
  refuses <- here(row$refuses)
  warned <- character()
  set.seed(3)
  value <- tryCatch(
    withCallingHandlers(here(row$call), warning = function(w) {
      known <- inherits(w, "meanfield_warning") || grepl(row$warns, conditionMessage(w))
      if (!known) warned <<- c(warned, conditionMessage(w))
      invokeRestart("muffleWarning")
    }),
    error = identity
  )
  if (inherits(value, "error")) return(judge_matrix_error(value, refuses))
  if (length(warned)) return(paste("warning without a class:", warned[1L]))
  if (refuses) return("made something up where it has to refuse")
  scope$value <- value
  tryCatch({
    wrong <- c(here(row$shape), if (!here(row$na)) finite(value) else not_nan(value), here(row$check))
    paste(wrong[nzchar(wrong)], collapse = "; ")
  }, error = function(e) paste("the check fails:", conditionMessage(e)))
}

judge_matrix_error <- function(e, refuses) {
  said <- gsub("\\s+", " ", conditionMessage(e))
  if (!inherits(e, "meanfield_error")) return(paste("error without a class:", said))
  if (!refuses) return(paste("refused:", said))
  if (!has_remedy(said)) return(paste("refused without a remedy:", said))
  ""
}

# A refusal says what to do, or names what is lacking.
has_remedy <- function(text) {
  doing <- c("use", "refit", "give", "must", "needs?", "leave", "rescale", "drop", "raise", "draw",
    "check", "see", "convert", "lacks", "only", "missing", "no column", "there is no", "(is|are) for")
  grepl(paste0("\\b(", paste(doing, collapse = "|"), ")\\b"), text)
}

# The registered method that a generic comes to for an object, "" when it is another package's.
dispatched <- function(generic, x, methods) {
  classes <- c(class(x), if (is.function(x)) "function", "default")
  found <- paste0(generic, ".", classes)
  found <- found[found %in% methods]
  if (length(found)) found[1L] else ""
}

# Runs rows over cells: a data frame of row, cell, method (what the generic came to) and complaint.
run_matrix <- function(rows, cells, scope_of, fork = identical(Sys.getenv("MATRIX_FORK"), "true")) {
  scopes <- lapply(seq_len(nrow(cells)), function(i) scope_of(cells[i, ]))
  plan <- lapply(seq_along(rows), function(j) {
    applies <- vapply(scopes, function(e) row_applies(rows[[j]], e), NA)
    cells_of_row(cells, applies, 5L * j)
  })
  methods <- registered_methods()
  one_cell <- function(i) {
    mine <- which(vapply(plan, function(p) i %in% p, NA))
    out <- lapply(mine, function(j) {
      data.frame(row = j, label = rows[[j]]$label, cell = cells$id[i],
        complaint = run_matrix_row(rows[[j]], scopes[[i]]),
        method = row_method(rows[[j]], scopes[[i]], methods$method))
    })
    do.call(rbind, out)
  }
  each <- lapply(seq_len(nrow(cells)), function(i) {
    if (fork) apart(one_cell(i), cells$id[i]) else one_cell(i)
  })
  do.call(rbind, each)
}

row_applies <- function(row, scope) {
  there <- vapply(row$needs, requireNamespace, NA, quietly = TRUE)
  all(there) && isTRUE(eval(row$when, scope))
}

row_method <- function(row, scope, methods) {
  tryCatch(dispatched(row$generic, eval(row$of, scope), methods), error = function(e) "")
}

# In a process of its own, for hunting what ends R.
apart <- function(expr, id) {
  job <- parallel::mcparallel(expr)
  out <- suppressWarnings(parallel::mccollect(job))[[1L]]
  if (is.data.frame(out)) return(out)
  data.frame(row = 0L, label = "", cell = id, method = "", complaint = "R ended")
}

registered_methods <- function() {
  table <- getNamespaceInfo("meanfield", "S3methods")
  # what is there only to refuse is asked in test-posterior.R
  table <- table[!table[, 3L] %in% c("unanswered", "of_this_version"), ]
  data.frame(generic = table[, 1L], class = table[, 2L], method = paste(table[, 1L], table[, 2L],
    sep = "."), package = if (ncol(table) > 3L) table[, 4L] else NA_character_)
}

# Generics of the package that it keeps to itself: what they do is seen through the others.
internal_generics <- function(generics) {
  own <- Filter(function(g) exists(g, asNamespace("meanfield"), inherits = FALSE), generics)
  setdiff(own, getNamespaceExports("meanfield"))
}

# One expectation per row, which names the cells that fail.
expect_rows <- function(outcomes) {
  for (x in split(outcomes, factor(outcomes$row))) {
    bad <- x[nzchar(x$complaint), ]
    text <- paste0(bad$cell, ": ", bad$complaint, collapse = "\n")
    testthat::expect(!nrow(bad), paste0(x$label[1L], "\n", text))
  }
}

# ---- complaints ----------------------------------------------------------------------

complain <- function(bad, ...) if (isTRUE(bad) || is.na(bad)) paste0(...) else ""

near <- function(got, want, tol = 1e-8, what = "") {
  got <- as.vector(unlist(got))
  want <- as.vector(unlist(want))
  if (length(got) != length(want)) {
    return(paste0(what, " has length ", length(got), ", not ", length(want)))
  }
  if (!identical(is.na(got), is.na(want))) return(paste(what, "is missing elsewhere"))
  off <- max(0, abs(got - want) / pmax(abs(want), 1e-3), na.rm = TRUE)
  complain(off > tol, what, " off by ", signif(off, 3), " of itself")
}

# got - want in units of a standard deviation or Monte Carlo standard error.
within <- function(got, want, unit, most, what = "") {
  off <- max(abs(unname(got) - unname(want)) / unname(unit))
  complain(off > most, what, " off by ", signif(off, 3), " units")
}

alike <- function(got, want, what = "") {
  complain(!isTRUE(all.equal(got, want)), what, " ", toString(all.equal(got, want)))
}
holds <- function(ok, what) complain(!isTRUE(all(ok)), what)

numbers <- function(x) {
  if (is.environment(x) || is.function(x) || is.language(x)) return(numeric())
  if (inherits(x, c("meanfield_fit", "gmm_fit", "ggplot"))) return(numeric())
  if (is.numeric(x)) return(as.vector(unclass(x)))
  if (is.list(x)) unlist(lapply(unclass(x), numbers)) else numeric()
}
not_nan <- function(x) {
  v <- numbers(x)
  complain(any(is.nan(v) | is.infinite(v)), sum(is.nan(v) | is.infinite(v)), " of ", length(v),
    " numbers are NaN or infinite")
}
finite <- function(x) {
  v <- numbers(x)
  complain(!all(is.finite(v)), sum(!is.finite(v)), " of ", length(v), " numbers are not finite")
}

is_vector_of <- function(x, n) {
  complain(!is.numeric(x) || !is.null(dim(x)) || length(x) != n, "no numeric vector of ", n)
}
is_matrix_of <- function(x, rows, cols, names = NULL) {
  ok <- is.numeric(x) && identical(dim(x), as.integer(c(rows, cols))) &&
    (is.null(names) || identical(colnames(x), names))
  complain(!ok, "no ", rows, " x ", cols, " matrix of numbers, but ", toString(dim(x)), " ",
    toString(utils::head(colnames(x))))
}
is_frame_of <- function(x, rows, names = NULL) {
  lost <- setdiff(names, names(x))
  complain(!is.data.frame(x) || nrow(x) != rows || length(lost), "no data frame of ", rows,
    " rows, but ", class(x)[1L], " of ", NROW(x),
    if (length(lost)) paste(" without", toString(lost)))
}
is_a <- function(x, class) complain(!inherits(x, class), "no ", class, " but a ", class(x)[1L])

# print(x) and the like: some text, no "NaN" in it, and x itself comes back unseen.
prints <- function(x) {
  text <- utils::capture.output(back <- withVisible(print(x)))
  list(text = text, same = identical(back$value, x) && !back$visible)
}
printed <- function(value) {
  c(holds(any(nzchar(value$text)), "nothing is printed"),
    holds(!any(grepl("NaN|\\bInf\\b", value$text)), "NaN or Inf is printed"),
    holds(value$same, "print() does not return its argument invisibly"))
}

plots <- function(x, ...) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  withVisible(plot(x, ...))
}
