# The rows of fits of skills. Format: helper-matrix.R.

skills_cells <- data.frame(structure = "skills", response = c("plain", "rich", "plain", "plain"),
  engine = c("vb", "vb", "exact", "hmc"),
  id = c("skills/vb", "skills/ties, home", "skills/exact", "skills/hmc"))

skills_scope <- function(cell, parent) {
  e <- list2env(list(cell = as.list(cell), engine = cell$engine, rich = cell$response == "rich"),
    parent = parent)
  evalq({
    league <- data.frame(w = c("a", "b", "c", "a"), l = c("b", "c", "a", "c"), wins = c(3, 2, 1, 2),
      ties = c(1, 0, 2, 0), home = c("a", "c", "a", NA))
    model <- if (rich) skills(w, l, wins, league, ties = ties, home = home) else
      skills(w, l, wins, league)
    vb <- fit_vb(model)
    set.seed(3)
    hmc <- if (engine == "hmc") suppressWarnings(fit_hmc(vb, chains = 2, iter = 400, warmup = 200))
    fit <- switch(engine, vb = vb, exact = suppressWarnings(fit_exact(vb)), hmc = hmc)
    k <- model$d
    games <- data.frame(w = "a", l = c("b", "c"), home = "a", wins = 1, ties = 0)
  }, e)
  e
}

short_chain <- function(...) suppressWarnings(fit_hmc(..., chains = 1, iter = 60, warmup = 30))

matrix_skills_rows <- list(
  matrix_row("skills", model$players, alike(value, c("a", "b", "c")), of = model),
  matrix_row("fit_vb", fit_vb(model, refine = "no"), is_a(value, "skills_fit"), of = model),
  matrix_row("fit_vb", fit_vb(fit, refine = "no"), is_a(value, "skills_fit")),
  matrix_row("fit_exact", suppressWarnings(fit_exact(model)), is_a(value, "skills_fit"),
    of = model),
  matrix_row("fit_exact", suppressWarnings(fit_exact(fit)), is_a(value, "skills_fit")),
  matrix_row("fit_hmc", short_chain(model), is_a(value, "skills_fit"), of = model),
  matrix_row("fit_hmc", short_chain(fit), is_a(value, "skills_fit")),
  matrix_row("fit_gibbs", suppressWarnings(fit_gibbs(model, chains = 1, iter = 220, warmup = 100)),
    is_a(value, "skills_fit"), refuses = rich, of = model),
  matrix_row("fit_gibbs", suppressWarnings(fit_gibbs(fit, chains = 1, iter = 220, warmup = 100)),
    is_a(value, "skills_fit"), refuses = rich),
  matrix_row("standings", standings(fit), is_frame_of(value, 3L, c("player", "p_best", "rank")),
    near(sum(value$p_best), 1)),
  matrix_row("head_to_head", head_to_head(fit)$p_win, is_matrix_of(value, 3L, 3L), na = TRUE),
  matrix_row("predict", predict(fit, games), is_frame_of(value, 2L, c("p_win", "sd", "p_better"))),
  matrix_row("update", suppressWarnings(update(fit, games)), is_a(value, "skills_fit")),
  matrix_row("simulate", simulate(fit, 2, seed = 1), is_frame_of(value, if (rich) 4L else 3L)),
  matrix_row("nobs", nobs(fit), near(value, if (rich) 11 else 8)),
  matrix_row("print", prints(fit), printed(value)),
  matrix_row("print", prints(model), printed(value), of = model),
  matrix_row("plot", plots(fit), holds(!value$visible, "not silent")),
  matrix_row("plot", plots(fit, "posterior"), holds(!value$visible, "not silent")),
  matrix_row("logLik", logLik(fit), is_a(value, "logLik"), refuses = engine == "hmc"),
  matrix_row("summary", summary(fit), is_frame_of(value, k, c("variable", "mean", "sd"))),
  matrix_row("tidy", tidy(fit), is_frame_of(value, k, c("term", "estimate", "std.error"))),
  matrix_row("vcov", vcov(fit), is_matrix_of(value, k, k)),
  matrix_row("vb_sensitivity", vb_sensitivity(fit),
    is_matrix_of(value, k, if (rich) 4L else 1L)),
  matrix_row("hypothesis", hypothesis(fit, "`skill[a]` > `skill[b]`"), is_frame_of(value, 1L)),
  matrix_row("as_draws", as_draws(fit), is_a(value, "draws")),
  matrix_row("coef", coef(fit), refuses = TRUE), matrix_row("residuals", residuals(fit),
    refuses = TRUE)
)
