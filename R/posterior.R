# A posterior is one of three things, whichever model and engine made it:
#   normal_posterior   one normal distribution: mean field, and its linear response beside it
#   mixture_posterior  a mixture of the conditional normals over nodes of the precisions
#   draws_posterior    draws
# and answers these questions. A model may know more of its normal or its draws than their moments
# (the arrow of a mixed model): a class of its own in front then answers for it.

# The posterior that a fit reports, and the normal distribution that variational Bayes found, or
# NULL.
posterior_of <- function(fit) UseMethod("posterior_of")
normal_of <- function(fit) UseMethod("normal_of")

#' @export
normal_of.default <- function(fit) NULL

#' @export
posterior_of.vb_fit <- function(fit) {
  if (is.null(fit$integrated)) normal_of(fit) else mixture_posterior(fit)
}

#' @export
posterior_of.exact_fit <- function(fit) mixture_posterior(fit)

#' @export
posterior_of.gibbs_fit <- function(fit) draws_posterior(fit, "regression_draws")

#' @export
normal_of.vb_fit <- function(fit) {
  normal_posterior(c(fit[c("model", "vb")], fit$posterior), "regression_normal")
}

DRAWS <- 4000 # that as_draws() gives unless told otherwise

# of: what it holds, by name; class: of its model's own methods.
normal_posterior <- function(of, class = NULL) {
  structure(c(of, list(ndraws = DRAWS)), class = c(class, "normal_posterior"))
}

mixture_posterior <- function(fit) {
  structure(list(model = fit$model, nodes = fit$integrated, ndraws = fit$draws %||% DRAWS),
    class = "mixture_posterior")
}

draws_posterior <- function(fit, class = NULL) {
  structure(fit[c("model", "draws", "u_draws", "u", "precisions")],
    class = c(class, "draws_posterior"))
}

# Mean and SD of every variable, a row of variable_table() each, and at a level the limits of its
# central interval (without one: an integrated posterior spends most of its time on them).
marginals <- function(p, level = NULL, u = FALSE) UseMethod("marginals")

# list(mean, cov) of the variables that location_names() names. A normal posterior has a type,
# "lrvb" or q's own, "mfvb".
location <- function(p, type = "lrvb") UseMethod("location")

# Covariance of all variables of a table, dense; refused above 10,000 rows. Of a type as well.
covariance <- function(p, type = "lrvb") UseMethod("covariance")

# Draws of every variable: a matrix, or iterations x chains x variables.
all_draws <- function(p, ndraws = NULL, u = "auto") UseMethod("all_draws")

# The distribution of linear combinations: of X location + offset + effects of levels, a row per
# row of parts$X (see linear_parts()).
# list(weights (nodes); mean, var (rows x nodes); new (rows x nodes), what the effects of levels
# not seen add to var; lead (nodes), tau_e or phi; sample, whether the nodes are draws). Of linear
# response, var includes the precisions' spread, and lead is NULL: see lead_nodes().
linear_mixture <- function(p, parts) UseMethod("linear_mixture")

# ---- of regression models --------------------------------------------------------------------

# list(beta (draws x p), u (draws x effects) or NULL, tau (draws x statistics)); effects and
# statistics in working coordinates.
joint_draws <- function(p, ndraws, u) UseMethod("joint_draws")

# Posterior means and the coefficients' covariance:
#   beta, cov_beta  in the user's coordinates
#   u               working effects, in the order of theta
#   sigma2_e        E[1 / tau_e]
moments <- function(p) UseMethod("moments")

# r x r x levels: posterior covariance of each level's working effects.
level_covariances <- function(p, f) UseMethod("level_covariances")

# E[Lambda^-1] of group term k: the covariance of the working effects of a level not seen.
group_covariance <- function(p, k) UseMethod("group_covariance")
