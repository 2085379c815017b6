# Topic models: time, bound and perplexity beside topicmodels' VEM on its corpus. See README.md here.
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))[1]
if (is.na(script)) script <- "inst/benchmarks/topics.R"
source(file.path(dirname(script), "common.R"))
library(meanfield)

ALPHA <- 0.1
TOPICS <- 20L

press <- function(docs) {
  utils::data("AssociatedPress", package = "topicmodels", envir = environment())
  set.seed(1)
  all <- get("AssociatedPress", environment())
  train <- sort(sample(all$nrow, docs))
  test <- sample(setdiff(seq_len(all$nrow), train), 240L)
  rows <- function(which) {
    keep <- all$i %in% which
    Matrix::sparseMatrix(match(all$i[keep], which), all$j[keep], x = as.double(all$v[keep]),
      dims = c(length(which), all$ncol), dimnames = list(NULL, all$dimnames[[2L]]))
  }
  fitted <- rows(train)
  seen <- Matrix::colSums(fitted) > 0
  list(train = fitted[, seen], test = rows(test)[, seen])
}

# topicmodels takes its own format.
as_dtm <- function(x) {
  at <- Matrix::mat2triplet(x)
  structure(list(i = at$i, j = at$j, v = as.integer(at$x), nrow = nrow(x), ncol = ncol(x),
    dimnames = list(Docs = as.character(seq_len(nrow(x))), Terms = colnames(x))),
  class = c("DocumentTermMatrix", "simple_triplet_matrix"), weighting = c("term frequency", "tf"))
}

beside_topicmodels <- function(docs) {
  d <- press(docs)
  work <- paste0(docs, " documents of AssociatedPress, ", TOPICS, " topics, alpha ", ALPHA)
  vem <- timed(function() {
    topicmodels::LDA(as_dtm(d$train), TOPICS, method = "VEM",
      control = list(alpha = ALPHA, estimate.alpha = FALSE, seed = 1L, nstart = 1L))
  }, clock = cpu_seconds)
  theirs <- topicmodels::perplexity(vem$value, as_dtm(d$test))
  for (eta in c(0.1, 0.3)) {
    m <- lda(d$train, TOPICS, alpha = ALPHA, eta = eta)
    label <- paste0(work, ", eta ", eta)
    one <- timed(function() fit_vb(m, starts = 1), clock = cpu_seconds)
    fit <- timed(function() fit_vb(m), clock = cpu_seconds)
    faster(paste0(label, ", one start, CPU"), "topicmodels VEM", one$seconds, vem$seconds, 5)
    faster(paste0(label, ", three starts, CPU"), "topicmodels VEM", fit$seconds, vem$seconds, 5)
    at_most(paste0(label, ", perplexity of 240 other documents"), "topicmodels VEM",
      predict(fit$value, d$test, "perplexity"), theirs, 1.02, number)
    svi <- timed(function() fit_vb(m, optimiser = "svi"), clock = cpu_seconds)
    at_most(paste0(label, ", bound of stochastic steps"), "ours, batch", -svi$value$vb$elbo,
      -fit$value$vb$elbo, 1.005, number)
    note(paste0(label, ", seconds of stochastic steps"), "ours, batch", duration(svi$seconds),
      duration(fit$seconds))
  }
}

# The same bound of a document: their topics by our E step.
if (has("topicmodels")) {
  docs <- as.integer(c(commandArgs(trailingOnly = TRUE), 1000)[1])
  beside_topicmodels(docs)
} else {
  not_installed("topics of AssociatedPress", "topicmodels", "at least 5x")
}
finish()
