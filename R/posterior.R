# What a posterior answers, whichever engine made it: one generic a question.

# list(weights (nodes); mean, var (rows x nodes) of x'beta + sum z'u + offset; new (rows x nodes), what the
# effects of levels not seen add to var; lead (nodes), tau_e or phi; sample, whether the
# nodes are draws). Of linear response, var includes the
# precisions' spread, and lead is NULL: see lead_nodes().
linear_mixture <- function(fit, parts) UseMethod("linear_mixture")

# list(beta (draws x p), u (draws x effects) or NULL, tau (draws x statistics)); effects and statistics
# in working coordinates.
joint_draws <- function(fit, ndraws, u) UseMethod("joint_draws")

# r x r x levels: posterior covariance of each level's working effects.
level_covariances <- function(fit, f) UseMethod("level_covariances")

# First and second posterior moments:
#   beta, cov_beta  in the user's coordinates
#   u               working effects, in the order of theta
#   sigma2_e        E[1 / tau_e]
moments <- function(fit, ...) UseMethod("moments")

# E[Lambda^-1] of group term k: the covariance of the working effects of a level not seen.
group_covariance <- function(fit, k) UseMethod("group_covariance")

# The columns of summary(). level = NULL: without the intervals, which of an integrated fit take most
# of the time.
summary_table <- function(fit, level = NULL, u = FALSE) UseMethod("summary_table")
