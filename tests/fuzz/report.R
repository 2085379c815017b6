# The table of classes, and every bad line with the command that repeats it.

fuzz_columns <- c("seed", "case", "step", "class", "where", "message", "call")

read_fuzz <- function(files) {
  files <- files[file.exists(files)]
  if (!length(files)) return(NULL)
  one <- function(file) {
    utils::read.delim(file, header = FALSE, col.names = fuzz_columns, quote = "", comment.char = "",
      colClasses = c("integer", "integer", rep("character", 5L)))
  }
  do.call(rbind, lapply(files, one))
}

# Faults that look alike: the same class, place and words but for numbers and quoted names.
fault_of <- function(x) {
  words <- gsub("[-+]?[0-9][0-9.]*(e[-+]?[0-9]+)?", "#", x$message)
  paste(x$class, ifelse(nzchar(x$where), x$where, x$step), gsub("[[(][^])]*[])]", "", words))
}

show_line <- function(x) {
  cat(x$class, " in ", x$step, if (nzchar(x$where)) paste0(" (", x$where, ")"), ": ", x$message,
    "\n    ", x$call, "\n    Rscript tests/fuzz/fuzz.R ", x$seed, " only=", x$case, "\n", sep = "")
}

# Prints; value: the number of bad lines.
report_fuzz <- function(files) {
  x <- read_fuzz(files)
  if (is.null(x)) {
    cat("no case was run\n")
    return(1L)
  }
  classes <- c("ok", "classed", "foreign", bad_classes)
  print(table(seed = x$seed, class = factor(x$class, classes)))
  foreign <- x[x$class == "foreign", ]
  if (nrow(foreign)) cat("foreign, not counted: ", paste0(foreign$seed, "/", foreign$case, " ",
    foreign$step, ": ", substr(foreign$message, 1L, 80L), collapse = "\n    "), "\n", sep = "")
  bad <- x[x$class %in% bad_classes, ]
  for (i in seq_len(nrow(bad))) show_line(bad[i, ])
  if (nrow(bad)) {
    groups <- split(bad, fault_of(bad))
    groups <- groups[order(-vapply(groups, nrow, 1L))]
    cat("\n", length(groups), " faults in ", nrow(bad), " lines:\n", sep = "")
    for (g in groups) {
      cases <- unique(paste0(g$seed, "/", g$case))
      cat(sprintf("%4d  %s %s: %s\n      seed/case %s\n", nrow(g), g$class[1L],
        if (nzchar(g$where[1L])) g$where[1L] else g$step[1L], substr(g$message[1L], 1L, 120L),
        toString(utils::head(cases, 8L))))
    }
  }
  nrow(bad)
}
