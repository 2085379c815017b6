# Linear response of a topic model: of everything together where that is small, else of each
# document given the topics. q(z) is eliminated: F(s) = sum_cells n log sum_k exp(s_theta + s_topic)
# of s = E log, and Cov(s) = (V^-1 - F'')^-1 (see src/topics/lda_lr.h).

RESPONSE_MOST <- 1000L

topic_elements <- function(model) {
  as.double(model$k) * (length(model$words) + length(model$documents))
}

is_small <- function(model) topic_elements(model) <= RESPONSE_MOST

# list(kind, theta_var, covariance, failed)
lda_response <- function(fit) {
  if (is_small(fit$model)) {
    joint <- joint_response(fit)
    if (!is.null(joint)) return(joint)
  }
  documents_response(fit$model, mean_log(fit$vb$lambda), fit$vb$gamma)
}

# log_topic: topics x words; gamma: documents x topics.
documents_response <- function(model, log_topic, gamma) {
  out <- call_lda_documents(lda_core(model), log_topic, t(gamma),
    list(inner_tol = 1e-8, inner_max = 1000L, variance = TRUE))
  list(kind = if (all(out$failed > 0)) "none" else "documents", theta_var = t(out$var),
    covariance = NULL, failed = which(out$failed > 0))
}

# ---- all together ------------------------------------------------------------------------------

# NULL where the bound is at no maximum. Elements of topics (topics x words), then of proportions
# (topics x documents).
joint_response <- function(fit) {
  fit <- settled(fit)
  model <- fit$model
  a <- c(fit$vb$lambda, t(fit$vb$gamma))
  block <- response_blocks(model)
  P <- inverse_log_covariance(a, block) - words_curvature(fit)
  R <- tryCatch(chol(P), error = function(e) NULL)
  if (is.null(R) || rcond(R) < 1e-8) return(NULL)
  more <- from_log(chol2inv(R) - log_covariance(a, block), a, block)
  V <- dirichlet_covariance(a, block) + (more + t(more)) / 2
  if (any(diag(V) <= 0)) return(NULL)
  n <- length(fit$vb$lambda)
  theta <- matrix(diag(V)[-seq_len(n)], ncol = model$k, byrow = TRUE)
  list(kind = "joint", theta_var = theta, covariance = V, failed = integer())
}

# Where the response is taken: at a maximum to many digits. The fit is what it was.
settled <- function(fit) {
  core <- lda_core(fit$model)
  run <- call_lda_fit(core, fit$vb$lambda, t(fit$vb$gamma),
    list(tol = 1e-14, max_iter = 2000L, fresh = FALSE, inner_tol = 1e-10, inner_max = 20L))$result
  fit$vb[c("lambda", "gamma")] <- list(run$lambda, t(run$gamma))
  fit
}

# Which Dirichlet factor each element belongs to.
response_blocks <- function(model) {
  k <- seq_len(model$k)
  c(rep(k, length(model$words)), model$k + rep(seq_along(model$documents), each = model$k))
}

same_block <- function(block) outer(block, block, `==`)

# Sums of the columns of X within blocks, back at every row.
block_sums <- function(X, block) rowsum(X, block)[as.character(block), , drop = FALSE]
block_total <- function(a, block) drop(block_sums(as.matrix(a), block))

log_covariance <- function(a, block) {
  same_block(block) * -trigamma(block_total(a, block)) + diag(trigamma(a))
}

# diag(d) + c d d' in each block, see lda_lr.c.
inverse_log_covariance <- function(a, block) {
  d <- 1 / trigamma(a)
  tau <- trigamma(block_total(a, block))
  c <- tau / (1 - tau * block_total(d, block))
  same_block(block) * (c * outer(d, d)) + diag(d)
}

dirichlet_covariance <- function(a, block) {
  total <- block_total(a, block)
  mean <- a / total
  (diag(mean) - same_block(block) * outer(mean, mean)) / (total + 1)
}

# J X J', J = Cov_q(p, log p) V^-1: from covariances of logarithms to those of probabilities.
from_log <- function(X, a, block) {
  d <- 1 / trigamma(a)
  total <- block_total(a, block)
  tau <- trigamma(total)
  c <- tau / (1 - tau * block_total(d, block))
  half <- function(X) {
    Y <- d * (X + c * block_sums(d * X, block)) # V^-1 X
    (Y - a / total * block_sums(Y, block)) / total
  }
  t(half(t(half(X))))
}

# F'': of every cell n (diag(phi) - phi phi') at its word's and its document's elements.
words_curvature <- function(fit) {
  model <- fit$model
  k <- model$k
  d <- rep.int(seq_along(model$documents), diff(model$ptr))
  w <- model$word + 1L
  phi <- cell_probabilities(mean_log(fit$vb$lambda), mean_log(fit$vb$gamma), w, d)
  words <- length(model$words)
  H <- matrix(0, k * (words + length(model$documents)), k * (words + length(model$documents)))
  for (a in seq_len(k)) {
    for (b in seq_len(k)) {
      n <- model$count * ((a == b) * phi[, a] - phi[, a] * phi[, b])
      H <- add_curvature(H, n, (w - 1L) * k, k * words + (d - 1L) * k, a, b)
    }
  }
  H
}

# Each pair of a word and a document is one cell; words and documents have several.
add_curvature <- function(H, n, word, doc, a, b) {
  sums <- function(at) {
    s <- rowsum(n, at)
    from <- as.integer(rownames(s))
    H[cbind(from + a, from + b)] <<- H[cbind(from + a, from + b)] + s
  }
  sums(word)
  sums(doc)
  H[cbind(word + a, doc + b)] <- n
  H[cbind(doc + a, word + b)] <- n
  H
}

# phi of cells, a row each. log_topic: topics x words, log_theta: documents x topics.
cell_probabilities <- function(log_topic, log_theta, word, document) {
  l <- t(log_topic[, word, drop = FALSE]) + log_theta[document, , drop = FALSE]
  l <- exp(l - l[cbind(seq_len(nrow(l)), max.col(l, "first"))])
  unname(l / rowSums(l))
}
