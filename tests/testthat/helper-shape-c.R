# The graph of src/: a module is a .c file with its .h, an edge an include or a call. No parser:
# public functions are found by the form that the code has, a definition that begins its line.

# Lowest first; at the top init.c, with no folder of its own.
C_FLOORS <- c("base", "network", "arrow", "model", "engine", "mixture", "topics", "blackbox",
  "glue", ".")

# The sources of the working tree, or of the package that R CMD check has unpacked; NULL: not here.
c_source_dir <- function() {
  dirs <- file.path(test_path("..", ".."), c("src", "00_pkg_src/meanfield/src"))
  found <- dirs[dir.exists(file.path(dirs, "base"))]
  if (length(found)) found[[1]]
}

# One string a file, named by its path, without comments and contents of strings.
c_sources <- function(dir) {
  files <- list.files(dir, pattern = "[.][ch]$", recursive = TRUE)
  text <- vapply(file.path(dir, files), function(f) paste(readLines(f), collapse = "\n"), "")
  text <- gsub("(?s)/[*].*?[*]/|//[^\n]*", " ", text, perl = TRUE)
  includes <- regmatches(text, gregexpr("(?m)^#include \"\\K[^\"]+", text, perl = TRUE))
  text <- gsub("\"(\\\\.|[^\"\\\\\n])*\"", "\"\"", text, perl = TRUE)
  list(files = files, text = unname(text), includes = includes)
}

c_module <- function(file) sub("[.][ch]$", "", file)
c_floor <- function(module) match(dirname(module), C_FLOORS)

# Names of the functions that a file defines and others may call; in a header, its inline functions.
c_public <- function(file, text) {
  header <- grepl("[.]h$", file)
  start <- if (header) "static inline" else "(?!static|typedef|return|else)[A-Za-z]\\w*"
  form <- paste0("(?m)^", start, "[\\w *]*?\\b(\\w+)\\([^;{}]*\\)\\s*\\{")
  found <- regmatches(text, gregexpr(form, text, perl = TRUE))[[1]]
  sub("(?s)^[^(]*?(\\w+)\\(.*$", "\\1", found, perl = TRUE)
}

# A data frame of public functions (name, file) and one of edges between modules (from, to, by).
c_graph <- function(src) {
  names <- Map(c_public, src$files, src$text)
  files <- rep(src$files, lengths(names))
  public <- data.frame(name = unlist(names, use.names = FALSE), file = files)
  words <- lapply(src$text, function(x) unique(regmatches(x, gregexpr("[A-Za-z_]\\w*", x))[[1]]))
  edges <- lapply(seq_along(src$files), function(i) {
    called <- public[public$name %in% words[[i]], ]
    data.frame(
      from = rep(c_module(src$files[i]), nrow(called) + length(src$includes[[i]])),
      to = c_module(c(called$file, src$includes[[i]])), by = c(called$name, src$includes[[i]])
    )
  })
  edges <- do.call(rbind, edges)
  list(public = public, edges = unique(edges[edges$from != edges$to, ]))
}

# What is wrong, a line each.
c_upward <- function(edges) {
  up <- is.na(c_floor(edges$to)) | c_floor(edges$from) < c_floor(edges$to)
  sprintf("%s -> %s (%s)", edges$from, edges$to, edges$by)[up]
}

# The edges of circles: those that are left when a module that calls nobody left is taken away, and
# one that nobody left calls, again and again.
c_circles <- function(edges) {
  left <- unique(c(edges$from, edges$to))
  repeat {
    inside <- edges[edges$from %in% left & edges$to %in% left, ]
    keep <- intersect(inside$from, inside$to)
    if (length(keep) == length(left)) break
    left <- keep
  }
  sprintf("%s -> %s (%s)", inside$from, inside$to, inside$by)
}

# The entries of .Call() are R's to name, and the helpers of the glue carry its own prefix.
c_misnamed <- function(public) {
  stem <- basename(c_module(public$file))
  prefix <- ifelse(stem == "r_util", "r", stem)
  ok <- mapply(grepl, sprintf("^%s(_|$)", prefix), public$name) | grepl("^(C|R_init)_", public$name)
  sprintf("%s: %s()", public$file, public$name)[!ok]
}
