# Topic models: counts of words in documents, the model object, and what the C core is told.

#' A topic model to fit
#'
#' Describes latent Dirichlet allocation: every document mixes the same topics in proportions of its
#' own, and a topic is a distribution over words. [fit_vb()] fits it by variational Bayes,
#' [fit_gibbs()] samples the same posterior by collapsed Gibbs; [top_words()], [summary()],
#' [predict()] and [plot()] work on the fits.
#'
#' @param counts How often each document has each word: a matrix of counts (documents x words), a
#'   sparse one of the Matrix package, a `DocumentTermMatrix` or `TermDocumentMatrix` of tm, a
#'   `simple_triplet_matrix` of slam, or a data frame with columns `document`, `word` and `count`
#'   (or the first three columns in this order; rows of the same pair are added up).
#' @param topics Number of topics, K.
#' @param alpha Parameter of the Dirichlet prior of a document's proportions, one positive number:
#'   below 1 documents have few topics each.
#' @param eta Parameter of the Dirichlet prior of a topic's words, one positive number: the smaller,
#'   the fewer words a topic has.
#'
#' @details
#' topic_k ~ Dirichlet(eta, ..., eta) over the words, theta_d ~ Dirichlet(alpha, ..., alpha) over
#' the topics; each word of document d has a topic z ~ theta_d and is drawn from it.
#'
#' Variables are called `topic[1,word]` (the probability of a word in a topic), `theta[document,1]`
#' (the share of a topic in a document) and `prevalence[1]` (its share of all words, the average of
#' `theta` weighted by the words of the documents). Topics are numbered by prevalence, the largest
#' first.
#'
#' An empty document stays: its proportions are the prior's. So does a word that never occurs (a
#' column of zeros): the vocabulary is what is given. Documents and words without names are numbered
#' (`1`, `2`, ...; `w1`, `w2`, ...), names that occur twice are told apart by `.1`, `.2`, ...
#'
#' @return An object of class `topic_model`, a list with
#' \describe{
#'   \item{call}{the call}
#'   \item{ptr, word, count}{the cells that are not zero, document by document: of document d those
#'     from `ptr[d] + 1` to `ptr[d + 1]`; `word` is counted from 0}
#'   \item{documents, words}{names}
#'   \item{k, alpha, eta}{number of topics, parameters of the priors}
#' }
#' @section Errors: `meanfield_error_data` for counts that are missing, negative or no whole
#'   numbers, no words at all, or something that is no table of counts; `meanfield_error_control`
#'   for a bad `topics`, also for more topics than different words; `meanfield_error_prior` for
#'   `alpha` and `eta` outside 1e-6 to 1e6.
#' @references Blei, D., Ng, A. and Jordan, M. (2003). Latent Dirichlet allocation. *Journal of
#'   Machine Learning Research* 3, 993-1022.
#' @examples
#' counts <- rbind(
#'   sky = c(star = 5, moon = 4, tide = 1, boat = 0, net = 0),
#'   port = c(0, 0, 2, 6, 3),
#'   night = c(4, 3, 3, 1, 0),
#'   pier = c(0, 1, 1, 4, 5)
#' )
#' fit <- fit_vb(lda(counts, 2))
#' fit
#' top_words(fit, 3)
#' @export
lda <- function(counts, topics, alpha = 1 / topics, eta = 0.1) {
  call <- match.call()
  if (missing(counts)) mf_abort("data", "`counts` is missing: a table of counts", arg = "counts")
  refuse_discriminant(counts)
  if (missing(topics)) {
    mf_abort("control", "`topics`, the number of topics, is missing", arg = "topics")
  }
  topics <- check_count(topics, "topics", 1, core_limit("topics"))
  alpha <- check_concentration(alpha, "alpha")
  eta <- check_concentration(eta, "eta")
  cells <- corpus_cells(count_triplets(counts))
  check_topic_size(cells, topics)
  structure(c(list(version = FIT_VERSION, call = call), cells,
    list(k = topics, alpha = alpha, eta = eta)), class = "topic_model")
}

# MASS has a function of this name.
refuse_discriminant <- function(counts) {
  if (!inherits(counts, "formula")) return(invisible())
  mf_abort("data", "`counts` must be a table of counts, not a formula: lda() fits topics; linear ",
    "discriminants are MASS::lda()", arg = "counts")
}

check_concentration <- function(x, arg) {
  x <- check_number(x, arg, 0, strict = TRUE, kind = "prior")
  if (x < 1e-6 || x > 1e6) {
    mf_abort("prior", "`", arg, "` must lie between 1e-6 and 1e6, not ", format(x), arg = arg)
  }
  x
}

check_topic_size <- function(cells, topics) {
  occur <- length(unique(cells$word))
  if (topics > occur) {
    mf_abort("control", "`topics` is ", topics, ", but only ", occur, " different words occur: ",
      "use fewer topics", arg = "topics")
  }
  largest <- max(length(cells$words), length(cells$documents)) * as.double(topics)
  if (largest >= 2^31) {
    mf_abort("size", "topics times words and topics times documents must stay below 2^31: use ",
      "fewer topics, or leave out rare words", arg = "topics")
  }
}

# ---- counts in every form ----------------------------------------------------------------------

# list(i, j, x, dim, names): row and column of each number, from 1; names: of rows and columns.
count_triplets <- function(counts) {
  if (inherits(counts, "simple_triplet_matrix")) return(slam_triplets(counts))
  if (isS4(counts)) return(sparse_triplets(counts))
  if (is.data.frame(counts)) return(long_triplets(counts))
  if (!is.matrix(counts) || !(is.numeric(counts) || is.logical(counts))) {
    mf_abort("data", "`counts` must be a matrix of counts (documents x words), a sparse one, a ",
      "DocumentTermMatrix or a data frame of document, word and count, not ", describe(counts),
      arg = "counts")
  }
  at <- which(is.na(counts) | counts != 0, arr.ind = TRUE)
  list(i = unname(at[, 1L]), j = unname(at[, 2L]), x = as.double(counts[at]), dim = dim(counts),
    names = dimnames(counts))
}

# tm's matrices are these, its TermDocumentMatrix with documents in columns.
slam_triplets <- function(counts) {
  out <- list(i = counts$i, j = counts$j, x = as.double(counts$v),
    dim = c(counts$nrow, counts$ncol), names = counts$dimnames)
  if (!inherits(counts, "TermDocumentMatrix")) return(out)
  list(i = out$j, j = out$i, x = out$x, dim = rev(out$dim), names = rev(out$names))
}

# Of the Matrix package, which the commonest kind does not need.
sparse_triplets <- function(counts) {
  if (inherits(counts, "dgCMatrix")) {
    at <- attributes(counts)
    return(list(i = at$i + 1L, j = rep.int(seq_len(at$Dim[2L]), diff(at$p)), x = at$x,
      dim = at$Dim, names = at$Dimnames))
  }
  if (!identical(attr(class(counts), "package"), "Matrix") ||
    !requireNamespace("Matrix", quietly = TRUE)) {
    no_table(counts)
  }
  if (length(dim(counts)) != 2L) no_table(counts)
  # an empty row makes it general: a symmetric one stores a triangle, a unit one no diagonal
  at <- Matrix::mat2triplet(rbind(counts, 0))
  list(i = at$i, j = at$j, x = as.double(at$x), dim = dim(counts), names = dimnames(counts))
}

no_table <- function(counts) {
  mf_abort("data", "`counts` must be a table of counts, not ", describe(counts),
    ": turn it into a matrix", arg = "counts")
}

long_triplets <- function(counts) {
  wanted <- c("document", "word", "count")
  if (ncol(counts) < 3L) {
    mf_abort("data", "`counts` as a data frame must have the columns document, word and count",
      arg = "counts")
  }
  named <- all(wanted %in% names(counts))
  columns <- if (named) lapply(wanted, function(w) counts[[w]]) else unclass(counts)[1:3]
  if (!is.numeric(columns[[3L]]) || !named && is_wide(counts)) {
    mf_abort("data", "the third column of `counts` must be counts, a row per document and word; ",
      "a table with a column per word must be a matrix: as.matrix()", arg = "counts")
  }
  if (!is.atomic(columns[[1L]]) || !is.atomic(columns[[2L]])) {
    mf_abort("data", "the columns of documents and words of `counts` must be vectors, not lists",
      arg = "counts")
  }
  if (anyNA(columns[[1L]]) || anyNA(columns[[2L]])) {
    mf_abort("data", "`counts` has rows without a document or a word: leave them out",
      arg = "counts")
  }
  document <- as.factor(columns[[1L]])
  word <- as.factor(columns[[2L]])
  list(i = as.integer(document), j = as.integer(word), x = as.double(columns[[3L]]),
    dim = c(nlevels(document), nlevels(word)), names = list(levels(document), levels(word)))
}

# A column per word, perhaps after one of names.
is_wide <- function(counts) ncol(counts) > 3L && all(vapply(counts, is.numeric, NA)[-1L])

# ---- cells -------------------------------------------------------------------------------------

# Cells by document, then word, each pair once.
corpus_cells <- function(t) {
  check_counts(t)
  if (any(t$dim < 1L) || !any(t$x > 0)) {
    mf_abort("data", "`counts` has no words", arg = "counts")
  }
  keep <- t$x > 0
  i <- as.integer(t$i[keep])
  j <- as.integer(t$j[keep])
  o <- order(i, j)
  i <- i[o]
  j <- j[o]
  x <- t$x[keep][o]
  first <- c(TRUE, diff(i) != 0L | diff(j) != 0L)
  if (!all(first)) x <- as.double(rowsum(x, cumsum(first), reorder = FALSE))
  list(ptr = c(0L, cumsum(tabulate(i[first], t$dim[1L]))), word = j[first] - 1L, count = x,
    documents = cell_names(t$names[[1L]], t$dim[1L], ""),
    words = cell_names(t$names[[2L]], t$dim[2L], "w"))
}

# Beyond 2^53 doubles are no counts any more; in all there are fewer.
MOST_WORDS <- 1e15
check_counts <- function(t) {
  check_cells(t)
  wrong <- function(bad, what, remedy) {
    at <- which(bad)
    if (!length(at)) return(invisible())
    mf_abort("data", "`counts` has ", length(at), " ", what, " value", if (length(at) > 1L) "s",
      ", the first of document ", t$i[at[1L]], ", word ", t$j[at[1L]], ": ", remedy, arg = "counts")
  }
  wrong(!is.finite(t$x), "missing or infinite", "give a word that does not occur the count 0")
  wrong(t$x < 0, "negative", "give counts 0, 1, 2, ...")
  wrong(t$x != round(t$x), "fractional",
    "the model is one of counts, not of weights as tf-idf: give the counts")
  if (sum(t$x) > MOST_WORDS) {
    mf_abort("data", "`counts` has more than 1e15 words", arg = "counts")
  }
}

# A list that only says that it is a table may have cells outside of it.
check_cells <- function(t) {
  sizes <- is.numeric(t$dim) && length(t$dim) == 2L && all(is.finite(t$dim))
  if (sizes && are_positions(t$i, t$dim[1L], length(t$x)) &&
    are_positions(t$j, t$dim[2L], length(t$x))) {
    return(invisible())
  }
  mf_abort("data", "`counts` is no valid table: its rows and columns must be whole numbers from 1 ",
    "to its dimensions, one of each per count", arg = "counts")
}

are_positions <- function(at, most, n) {
  is.numeric(at) && length(at) == n && all(at %in% seq_len(most))
}

cell_names <- function(names, n, stem) {
  if (is.null(names)) return(paste0(stem, seq_len(n)))
  names <- as.character(names)
  none <- is.na(names) | !nzchar(names)
  names[none] <- paste0(stem, seq_len(n))[none]
  make.unique(names)
}

lda_core <- function(model) {
  list(k = model$k, n_words = length(model$words), alpha = model$alpha, eta = model$eta,
    ptr = model$ptr, word = model$word, count = model$count)
}

# Words of each document.
document_words <- function(model) {
  d <- rep.int(seq_along(model$documents), diff(model$ptr))
  out <- numeric(length(model$documents))
  sums <- rowsum(model$count, d)
  out[as.integer(rownames(sums))] <- sums
  out
}

# E log p of the rows of a matrix of Dirichlet parameters.
mean_log <- function(a) digamma(a) - digamma(rowSums(a))

# ---- names -------------------------------------------------------------------------------------

# Prevalences, topics one after the other, proportions document by document: as the sampler stores
# them.
#' @export
variable_table.topic_model <- function(model, u = FALSE) {
  k <- seq_len(model$k)
  n <- length(model$words)
  docs <- length(model$documents)
  row <- function(...) variable_rows(..., b = NA, link = "beta")
  stack_rows(list(
    row(sprintf("prevalence[%d]", k), "prevalence", "corpus", k, a = NA, type = "prevalence"),
    row(sprintf("topic[%d,%s]", rep(k, each = n), model$words), "topic", "topic", rep(k, each = n),
      a = rep(seq_len(n), model$k), type = "topic"),
    row(sprintf("theta[%s,%d]", rep(model$documents, each = model$k), k), "theta", "document",
      rep(k, docs), a = rep(seq_len(docs), each = model$k), type = "theta")
  ))
}

#' @export
location_kind.topic_model <- function(model) "prevalence"

#' @export
location_names.topic_model <- function(model) sprintf("prevalence[%d]", seq_len(model$k))

#' @export
print.topic_model <- function(x, ...) {
  no_dots(...)
  cat("Topic model (latent Dirichlet allocation) of ", x$k, " topic", if (x$k > 1L) "s", "\n",
    sep = "")
  print_corpus(x)
  cat("Fit it with fit_vb() or fit_gibbs().\n")
  invisible(x)
}

print_corpus <- function(model) {
  n <- function(x) format(x, big.mark = ",", scientific = FALSE)
  empty <- sum(diff(model$ptr) == 0L)
  unused <- length(model$words) - length(unique(model$word))
  cat("Corpus:  ", n(length(model$documents)), " documents, ", n(length(model$words)),
    " different words, ", n(sum(model$count)), " words in all", sep = "")
  if (empty) cat("; ", n(empty), " of the documents empty", sep = "")
  if (unused) cat("; ", n(unused), " of the words never used", sep = "")
  cat("\nPrior:   theta ~ Dirichlet(", format(model$alpha, digits = 3), "), topic ~ Dirichlet(",
    format(model$eta, digits = 3), ")\n", sep = "")
}
