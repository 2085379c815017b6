# Every exported function and method, on every kind of fit: a value of the right shape and size,
# or a classed refusal that says what to do. The tables are in helper-matrix.R and helper-
# rows-*.R.

skip_on_cran()

d <- matrix_data()
here <- environment()
models <- run_matrix(matrix_model_rows, matrix_cells(), function(cell) cell_scope(cell, d, here))
mixtures <- run_matrix(matrix_mixture_rows, mixture_cells, function(c) mixture_scope(c, here))
topics <- run_matrix(matrix_topic_rows, topic_cells, function(c) topic_scope(c, here))
targets <- run_matrix(matrix_target_rows, target_cells, function(c) target_scope(c, here))
ladders <- run_matrix(matrix_skills_rows, skills_cells, function(c) skills_scope(c, here))
networks <- run_matrix(matrix_network_rows, network_cells, function(c) network_scope(c, here))
autoencoders <- run_matrix(matrix_vae_rows, vae_cells, function(c) vae_scope(c, here))
once <- run_matrix(matrix_once_rows, once_cells, function(cell) once_scope(cell, here))

test_that("fits of models", {
  expect_rows(models)
})
test_that("fits of mixtures", {
  expect_rows(mixtures)
})
test_that("fits of topic models", {
  expect_rows(topics)
})
test_that("fits of targets", {
  expect_rows(targets)
})
test_that("fits of skills", {
  expect_rows(ladders)
})
test_that("fits of Bayesian networks", {
  expect_rows(networks)
})
test_that("fits of autoencoders", {
  expect_rows(autoencoders)
})
test_that("constructors of targets, and fit_hmc() of every kind of model", {
  made <- matrix_target_once()
  for (fit in made$fit_hmc) {
    expect_s3_class(fit, "hmc_fit")
    expect_output(print(fit), "Hamiltonian|No-U-turn")
  }
  expect_s3_class(made$as_target, "meanfield_target")
  for (call in made$refused) {
    wrong <- tryCatch(eval(call, made), error = function(e) judge_matrix_error(e, TRUE))
    expect_identical(wrong, "", info = deparse1(call))
  }
})
test_that("constructors, defaults, foreign objects", {
  expect_rows(once)
})

test_that("no method and no export is without a row", {
  methods <- registered_methods()
  methods <- methods[!methods$generic %in% internal_generics(methods$generic), ]
  seen <- unique(c(models$method, mixtures$method, topics$method, targets$method, ladders$method,
    networks$method, autoencoders$method, once$method, target_once_methods))
  foreign <- methods$package
  absent <- !is.na(foreign) & !vapply(foreign, function(p) !is.na(p) &&
    requireNamespace(p, quietly = TRUE), NA)
  expect_equal(setdiff(methods$method[!absent], seen), character(), info = "not in the table")
  rows <- c(matrix_model_rows, matrix_mixture_rows, matrix_topic_rows, matrix_target_rows,
    matrix_skills_rows, matrix_network_rows, matrix_vae_rows, matrix_once_rows)
  named <- c(vapply(rows, `[[`, "", "generic"), names(matrix_target_once()))
  exports <- grep("^[.]__", getNamespaceExports("meanfield"), value = TRUE, invert = TRUE)
  expect_equal(setdiff(exports, named), character(), info = "not in the table")
})

test_that("what an engine is not for is refused, with a remedy", {
  cells <- refused_matrix_cells()
  for (i in seq_len(nrow(cells))) {
    value <- tryCatch(cell_fit(cells[i, ], d), error = identity)
    wrong <- if (inherits(value, "error")) judge_matrix_error(value, TRUE) else "fitted"
    expect(wrong == "", paste(cells$id[i], wrong))
  }
})

test_that("no other package's default answers for a mixture", {
  for (i in seq_len(nrow(mixture_cells))) {
    fit <- mixture_scope(mixture_cells[i, ], here)$fit
    wrong <- vapply(mixture_leftovers(), leftover_complaint, "", fit)
    wrong <- wrong[nzchar(wrong)]
    expect(!length(wrong), paste0(names(wrong), "(", class(fit)[1L], "): ", wrong, collapse = "\n"))
  }
})

test_that("nor for a topic model", {
  for (i in seq_len(nrow(topic_cells))) {
    fit <- topic_scope(topic_cells[i, ], here)$fit
    wrong <- vapply(mixture_leftovers(matrix_topic_rows), leftover_complaint, "", fit)
    wrong <- wrong[nzchar(wrong)]
    expect(!length(wrong), paste0(names(wrong), "(", class(fit)[1L], "): ", wrong, collapse = "\n"))
  }
})

test_that("no method swallows arguments", {
  fits <- list(fit_vb(y ~ x + (1 | g), d), fit_vb(hit ~ x + (1 | g), d, family = binomial()))
  for (fit in fits) {
    wrong <- vapply(dots_generics(), dots_complaint, "", fit)
    wrong <- wrong[nzchar(wrong)]
    expect(!length(wrong), paste0(names(wrong), "(<", family(fit)$family, ">): ", wrong,
      collapse = "\n"))
  }
})

test_that("fits but those of samplers leave the random numbers alone", {
  cells <- matrix_cells()
  cells <- cells[cells$structure %in% c("intercept", "slopes") & cells$engine != "gibbs", ]
  set.seed(4)
  before <- .Random.seed
  for (i in seq_len(nrow(cells))) {
    cell_fit_unseeded(cells[i, ], d)
    expect(identical(.Random.seed, before), cells$id[i])
  }
})
