# Calls of generics that live in packages which need not be installed.

# Called from where our own default methods cannot be seen: dispatch looks there first, and would
# come back here.
call_foreign <- function(name, packages, object, ...) {
  env <- list2env(list(f = foreign_generic(name, packages, object), x = object),
    parent = globalenv())
  eval(as.call(c(list(quote(f), quote(x)), list(...))), env)
}

# A function of the same name in a package that is loaded and has a method for this object: ours,
# when attached later, must not take it away.
foreign_generic <- function(name, packages, object) {
  for (p in intersect(packages, loadedNamespaces())) {
    f <- get0(name, envir = asNamespace(p), inherits = FALSE)
    if (is.function(f) && serves(f, name, object, asNamespace(p))) return(f)
  }
  mf_abort("engine", "there is no ", name, "() for an object of class ", class(object)[1L],
    ": load the package that has one (", toString(packages), ")", arg = "object")
}

serves <- function(f, name, object, env) {
  if (isS4(object) || !utils::isS3stdGeneric(f)) return(TRUE)
  methods <- lapply(c(class(object), "default"), function(class) {
    utils::getS3method(name, class, optional = TRUE, envir = env)
  })
  !all(vapply(methods, is.null, NA))
}

ask_performance <- function(name, object, ...) {
  requireNamespace("performance", quietly = TRUE)
  call_foreign(name, "performance", object, ...)
}

# A method of a generic whose package may be loaded later.
register_later <- function(package, generic, class,
                           method = get(paste(generic, class, sep = "."), envir = topenv())) {
  list(generic, class, method) # loops call this: now, not when the package comes
  register <- function(...) registerS3method(generic, class, method, asNamespace(package))
  if (isNamespaceLoaded(package)) try(register(), silent = TRUE)
  setHook(packageEvent(package, "onLoad"), function(...) try(register(), silent = TRUE))
}
