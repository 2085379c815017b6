# Generics of the same name that live in packages loaded later, and knitr's printer.

.onLoad <- function(libname, pkgname) {
  delayed <- list(
    c("knitr", "knit_print", "sd_ratio_report"), c("lme4", "ngrps", "regression_fit"),
    c("brms", "ngrps", "regression_fit"), c("brms", "hypothesis", "meanfield_fit"),
    c("rstantools", "prior_summary", "regression_fit")
  )
  for (d in delayed) register_later(d[1L], d[2L], d[3L])
  ns <- asNamespace(pkgname)
  get("register_refusals", envir = ns)(ns)
}

register_later <- function(package, generic, class) {
  method <- get(paste(generic, class, sep = "."), envir = asNamespace("meanfield"))
  register <- function(...) registerS3method(generic, class, method, asNamespace(package))
  if (isNamespaceLoaded(package)) try(register(), silent = TRUE)
  setHook(packageEvent(package, "onLoad"), function(...) try(register(), silent = TRUE))
}

.onUnload <- function(libpath) library.dynam.unload("meanfield", libpath)
