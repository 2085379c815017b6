# Generics of the same name that live in packages loaded later, and knitr's printer.

.onLoad <- function(libname, pkgname) {
  delayed <- list(
    c("knitr", "knit_print", "sd_ratio_report"), c("lme4", "ngrps", "regression_fit"),
    c("brms", "ngrps", "regression_fit"), c("brms", "hypothesis", "meanfield_fit"),
    c("rstantools", "prior_summary", "regression_fit")
  )
  ns <- asNamespace(pkgname)
  for (d in delayed) get("register_later", envir = ns)(d[1L], d[2L], d[3L])
  # the function of posterior itself, which takes half a second to load, when it is asked for
  makeActiveBinding("as_draws", function() posterior::as_draws, ns)
  get("register_refusals", envir = ns)(ns)
}

.onUnload <- function(libpath) library.dynam.unload("meanfield", libpath)
