# Corpora, and the posterior of a tiny one by enumeration.

random_dirichlet <- function(n, k, a) {
  x <- matrix(rgamma(n * k, a), n)
  x / rowSums(x)
}

# list(counts, topic, theta)
topic_corpus <- function(docs, words, topics, length, alpha = 0.3, eta = 0.1) {
  topic <- random_dirichlet(topics, words, eta)
  theta <- random_dirichlet(docs, topics, alpha)
  counts <- t(apply(theta %*% topic, 1L, function(p) rmultinom(1L, length, p)))
  dimnames(counts) <- list(paste0("d", seq_len(docs)), paste0("v", seq_len(words)))
  list(counts = counts, topic = topic, theta = theta)
}

tiny_counts <- rbind(first = c(a = 2, b = 1, c = 0), second = c(0, 1, 2))

# All topics of all words: list(z (assignments x words), log_joint, doc, word), log p(words, z) with
# topics and proportions integrated out.
enumerated_topics <- function(counts, k, alpha, eta) {
  cell <- which(t(counts) > 0, arr.ind = TRUE)
  n <- t(counts)[cell]
  word <- rep(cell[, 1L], n)
  doc <- rep(cell[, 2L], n)
  z <- as.matrix(expand.grid(rep(list(seq_len(k)), length(word))))
  part <- function(n, a) {
    lgamma(length(n) * a) - length(n) * lgamma(a) + sum(lgamma(n + a)) - lgamma(sum(n + a))
  }
  log_joint <- apply(z, 1L, function(z) {
    by <- function(x, size) table(factor(x, seq_len(size)), factor(z, seq_len(k)))
    sum(apply(by(doc, nrow(counts)), 1L, part, alpha)) + sum(apply(by(word, ncol(counts)), 2L, part, eta))
  })
  list(z = z, log_joint = log_joint, doc = doc, word = word)
}

log_sum <- function(x) max(x) + log(sum(exp(x - max(x))))

# The bound by its definition: every word's q(z) written out.
defined_bound <- function(fit) {
  m <- fit$model
  lambda <- fit$vb$lambda
  gamma <- fit$vb$gamma
  e_topic <- digamma(lambda) - digamma(rowSums(lambda))
  e_theta <- digamma(gamma) - digamma(rowSums(gamma))
  dirichlet <- function(prior, a, e) {
    entropy <- sum(lgamma(a)) - lgamma(sum(a)) - sum((a - 1) * e)
    lgamma(length(a) * prior) - length(a) * lgamma(prior) + sum((prior - 1) * e) + entropy
  }
  total <- 0
  for (k in seq_len(m$k)) total <- total + dirichlet(m$eta, lambda[k, ], e_topic[k, ])
  for (d in seq_along(m$documents)) {
    total <- total + dirichlet(m$alpha, gamma[d, ], e_theta[d, ])
    for (i in seq_len(m$ptr[d + 1] - m$ptr[d]) + m$ptr[d]) {
      l <- e_theta[d, ] + e_topic[, m$word[i] + 1]
      phi <- exp(l - log_sum(l))
      total <- total + m$count[i] * (sum(phi * l) - sum(ifelse(phi > 0, phi * log(phi), 0)))
    }
  }
  total
}
