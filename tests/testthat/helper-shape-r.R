# The call graph of the R sources: who calls whom, between files. Files are rooms, their prefixes
# floors.

R_FLOORS <- c("base", "family", "model", "engine", "posterior", "report", "methods", "mixture",
  "target", "topics")

# The package's sources: of the working tree, or those that R CMD check has unpacked; NULL
# elsewhere.
source_dir <- function(part) {
  dirs <- file.path(testthat::test_path(c("../..", "../../00_pkg_src/meanfield")), part)
  dirs[dir.exists(dirs)][1L]
}

# Name, file and value (a call, not evaluated) of every object defined at the top of the files.
r_definitions <- function(dir) {
  found <- lapply(list.files(dir, "[.]R$", full.names = TRUE), function(f) {
    e <- Filter(function(e) is.call(e) && identical(e[[1L]], quote(`<-`)) && is.name(e[[2L]]),
      parse(f))
    list(name = vapply(e, function(e) as.character(e[[2L]]), ""), value = lapply(e, `[[`, 3L),
      file = rep(sub("[.]R$", "", basename(f)), length(e)))
  })
  list(name = unlist(lapply(found, `[[`, "name")), file = unlist(lapply(found, `[[`, "file")),
    value = unlist(lapply(found, `[[`, "value"), recursive = FALSE))
}

# Names with more than one definition, of which R keeps the last without a word, and their files.
defined_twice <- function(def) {
  files <- split(def$file, def$name)
  files <- files[lengths(files) > 1L]
  sprintf("%s: %s", names(files), vapply(files, toString, ""))
}

# The global names that a definition uses. S3 dispatch stays unseen: a call of a generic is a call
# of the generic.
names_used <- function(value) {
  made <- tryCatch(eval(value, baseenv()), error = function(e) NULL)
  if (is.function(made)) codetools::findGlobals(made) else all.names(value)
}

# A row per pair of definitions in different files: from, to, and their files.
r_calls <- function(def) {
  used <- lapply(def$value, function(v) match(intersect(names_used(v), def$name), def$name))
  from <- rep(seq_along(used), lengths(used))
  to <- unlist(used)
  calls <- data.frame(from = def$name[from], to = def$name[to], from_file = def$file[from],
    to_file = def$file[to])
  calls[calls$from_file != calls$to_file, ]
}

floor_of <- function(file, floors) match(sub("-.*", "", file), floors)

# The nodes on a cycle of a graph given by its edges.
on_cycle <- function(from, to) {
  repeat { # what nobody calls, or what calls nobody, lies on no cycle
    keep <- from %in% to & to %in% from
    if (all(keep)) return(sort(unique(from)))
    from <- from[keep]
    to <- to[keep]
  }
}
