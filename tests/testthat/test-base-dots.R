# An argument that is swallowed is a lie: every method refuses one that it does not know.

d <- small_data()
vb <- fit_vb(y ~ x + (1 | g), d)
exact <- fit_exact(vb)
set.seed(1)
gibbs <- fit_gibbs(vb, chains = 2, iter = 250, warmup = 50)
mix <- fit_vb(gaussian_mixture(faithful, 2), starts = 2)
mix_gibbs <- fit_gibbs(mix, chains = 1, iter = 150, warmup = 50)
tgt <- fit_vb(conjugate_target())
tgt_hmc <- suppressWarnings(fit_hmc(tgt, chains = 1, iter = 150, warmup = 50))
ladder <- fit_vb(skills("A", "B", wins = 3))
topics <- fit_vb(lda(tiny_counts, 2))
topics_gibbs <- suppressWarnings(fit_gibbs(topics, chains = 1, iter = 60, warmup = 10))
hmc <- suppressWarnings(fit_hmc(vb, chains = 1, iter = 150, warmup = 50))
network <- fit_vb(bnn(cbind(x = d$x), d$y, 2), control = vb_control(steps = 60))
auto <- fit_vb(vae(faithful, 1, encoder = "linear", decoder = "linear"))

# An object of every class that has methods.
objects <- list(
  vb_fit = vb, exact_fit = exact, gibbs_fit = gibbs, meanfield_fit = vb, regression_fit = vb, gmm_vb_fit = mix,
  gmm_gibbs_fit = mix_gibbs, gmm_fit = mix, gaussian_mixture = mix$model, formula = y ~ x,
  character = "y ~ x", data.frame = d, VarCorr.meanfield = VarCorr(vb),
  ranef.meanfield = ranef(vb), meanfield_summary = summary(vb),
  sd_ratio_report = sd_ratio_report(vb), elbo = logLik(vb), log_evidence = logLik(exact),
  meanfield_comparison = compare(a = vb, b = exact, loo = FALSE), meanfield_gram = vb$model$gram,
  meanfield_khat = structure(.4, ess = .5, class = "meanfield_khat"),
  meanfield_mixture_prior = mixture_prior(), meanfield_prior = gamma_prior(1, 1),
  meanfield_law = law("normal"), normal_projection = project_normal(function(x) -x^4),
  meanfield_priors = priors(), meanfield_constraint = positive(),
  target_fit = tgt, target_vb_fit = tgt, target_exact_fit = fit_exact(tgt), target_hmc_fit = tgt_hmc,
  hmc_fit = hmc, skills_fit = ladder, skills = ladder$model,
  bnn = network$model, bnn_fit = network, bnn_summary = summary(network),
  predictive_report = predictive_report(network, network), vae = auto$model, vae_fit = auto,
  vae_summary = summary(auto), meanfield_gap = amortisation_gap(auto, faithful[1:3, ]),
  lda_fit = topics, lda_vb_fit = topics, lda_gibbs_fit = topics_gibbs,
  topic_model = topics$model,
  meanfield_target = target(function(p) -p$x^2, list(x = 1)), list = list(),
  stanfit = structure(list(), class = "stanfit"),
  stanmodel = structure(list(), class = "stanmodel"),
  CmdStanFit = structure(list(), class = "CmdStanFit"), default = structure(list(), class = "unheard_of")
)

# Who is excused, and why.
called_by_owner <- c( # extras that differ between versions of the package that calls them
  "find_formula", "find_parameters", "get_data", "get_df", "get_loglikelihood", "get_parameters",
  "get_predicted", "get_random", "get_statistic", "get_variance", "is_converged",
  "check_singularity", "get_coef", "get_predict", "get_vcov", "set_coef", "emm_basis",
  "recover_data", "knit_print"
)
# to packages that may be loaded, which have their own manners
delegates <- paste0(c("icc", "r2", "isSingular", "ngrps", "prior_summary", "hypothesis"), ".default")

methods <- as.data.frame(getNamespaceInfo("meanfield", "S3methods")[, 1:3])
names(methods) <- c("generic", "class", "fun")
methods$generic <- sub("^.*::", "", methods$generic)
methods <- methods[!methods$generic %in% called_by_owner, ]

extra <- list( # arguments that a method cannot do without
  predict.target_fit = list(function(p) p$mu),
  hypothesis = list("x > 0"), getME = list("theta"), fit_vb.data.frame = list(y ~ x),
  fit_exact.data.frame = list(y ~ x), fit_gibbs.data.frame = list(y ~ x)
)

test_that("every S3 method refuses an unknown argument", {
  ns <- asNamespace("meanfield")
  withr::local_pdf(NULL)
  for (i in seq_len(nrow(methods))) {
    m <- methods[i, ]
    name <- paste(m$generic, m$class, sep = ".")
    f <- get0(name, ns, mode = "function") # not those of other packages' classes
    if (is.null(f) || name %in% delegates || !"..." %in% names(formals(f))) next
    expect_true(m$class %in% names(objects), label = paste("an object of class", m$class))
    args <- c(list(objects[[m$class]]), extra[[m$generic]], extra[[name]], nonsense = 1)
    e <- tryCatch(utils::capture.output(do.call(f, args)), error = identity)
    expect_true(inherits(e, "meanfield_error"), label = paste0(name, "(nonsense = 1)",
      if (inherits(e, "error")) paste0(" [", substr(conditionMessage(e), 1, 80), "]")))
  }
})

test_that("functions that pass `...` on know what may pass", {
  for (f in list(vb, mix)) {
    expect_s3_class(suppressWarnings(loo::loo(f, draws = 100, save_psis = TRUE)), "psis_loo")
    expect_error(loo::loo(f, draws = 100, save_pssi = TRUE), class = "meanfield_error_control")
  }
  expect_error(compare(vb, exact, nonsense = 1), class = "meanfield_error_compare")
  expect_output(print(summary(vb), right = FALSE), "variable")
  expect_equal(rownames(as.data.frame(summary(vb), row.names = letters[1:9])), letters[1:9])
  expect_error(VarCorr(vb, sigma = 2), class = "meanfield_error_control")
  skip_if_not_installed("bayesplot")
  expect_s3_class(bayesplot::pp_check(vb, draws = 5, size = .3), "ggplot")
  expect_error(bayesplot::pp_check(vb, draws = 5, sise = .3), class = "meanfield_error_control")
})
