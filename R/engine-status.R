# The status that an engine ends with, as a classed condition that names what failed.

# Turn a core status into a condition; "ok" and "maxit" come back to the caller.
check_status <- function(status, model) {
  kind <- names(core_status)[match(status[1L], core_status)]
  where <- sprintf("at iteration %d", status[2L] + 1L)
  switch(kind,
    interrupted = mf_interrupt(),
    not_pd_leaf = mf_abort(
      "not_pd", "the precision of group '", model$factors[[1L]]$levels[status[3L] + 1L],
      "' lost positive definiteness ", where,
      ": rescale the data or use less extreme priors"
    ),
    not_pd_global = mf_abort(
      "not_pd", "coefficient '",
      c(beta_names(model), u_names(model))[status[3L] + 1L],
      "' is not determined to working precision ", where,
      ": it is aliased with others under a very wide prior, or the groups explain the ",
      "response (almost) perfectly; use a tighter `prior`, or drop columns",
      arg = "prior"
    ),
    dear = mf_abort(
      "size", "conjugate gradients did not converge in 500 steps ", where, ": the groups are ",
      "nearly separate (few levels of one factor meet more than one of another), or a variance is ",
      "very large; drop a factor, fit a subset, or use a tighter `prior`", arg = "formula"
    ),
    nonfinite = mf_abort(
      "nonfinite", "the algorithm produced a non-finite value ", where,
      ": rescale the data or use less extreme priors"
    )
  )
  kind
}
