# Radon in Minnesota homes: variational Bayes, blocked Gibbs, and how far they agree.
# Usage: Rscript radon-demo.R [output folder]; `make demo` writes to build/demo/.
#
# To let the uranium in the soil explain part of the spread between counties, add log_uranium
# to the right-hand side of the formula.

library(meanfield)

args <- commandArgs(trailingOnly = TRUE)
out <- if (length(args)) args[1] else tempfile("radon-demo-")
dir.create(out, recursive = TRUE, showWarnings = FALSE)
out <- normalizePath(out)
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
here <- normalizePath(dirname(script))

options(width = 110) # the tables are wide
set.seed(20260101)
vb <- fit_vb(log_radon ~ floor + (1 | county), data = radon)
gibbs <- fit_gibbs(vb)
report <- sd_ratio_report(vb, gibbs)

print(vb)
print(gibbs)
print(report)

draw <- function(file, plot_it) {
  path <- file.path(out, file)
  grDevices::png(path, width = 1600, height = 1100, res = 160)
  shown <- plot_it()
  if (inherits(shown, "ggplot")) print(shown)
  grDevices::dev.off()
  path
}
figures <- c(
  "Approximation against Gibbs" = draw("densities.png", function() plot(vb, reference = gibbs)),
  "Ratios of standard deviations" = draw("sd-ratios.png", function() plot(report))
)

# The report needs pandoc; without it, the same content as plain HTML.
html <- file.path(out, "report.html")
if (requireNamespace("rmarkdown", quietly = TRUE) && rmarkdown::pandoc_available("1.12.3")) {
  rmarkdown::render(
    file.path(here, "report.Rmd"), output_file = html, intermediates_dir = tempdir(),
    envir = list2env(list(vb = vb, gibbs = gibbs, report = report, figures = figures)),
    quiet = TRUE
  )
} else {
  escape <- function(x) gsub("<", "&lt;", gsub("&", "&amp;", x, fixed = TRUE), fixed = TRUE)
  printed <- function(x) c("<pre>", escape(utils::capture.output(print(x))), "</pre>")
  image <- function(path, title) {
    sprintf("<h2>%s</h2><img width=\"800\" src=\"%s\">", title, knitr::image_uri(path))
  }
  writeLines(c(
    "<!DOCTYPE html><meta charset=\"utf-8\"><title>Radon</title><h1>Radon in Minnesota homes</h1>",
    printed(vb), printed(gibbs), printed(report), mapply(image, figures, names(figures))
  ), html, useBytes = TRUE)
}

cat("\nWritten:\n", paste0("  ", c(figures, html), "\n"), sep = "")
