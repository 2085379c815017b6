# The floors of src/ (src/Makevars lists them): what lies below knows nothing of what lies above.

shape_c <- function() {
  dir <- c_source_dir()
  skip_if(is.null(dir), "the C sources are not here")
  c_graph(c_sources(dir))
}

test_that("calls and includes of src/ go down the floors, and never round", {
  graph <- shape_c()
  expect_gt(nrow(graph$edges), 300)
  expect_identical(c_upward(graph$edges), character())
  expect_identical(c_circles(graph$edges), character())
})

test_that("public functions of src/ carry their file's name", {
  public <- shape_c()$public
  expect_gt(nrow(public), 180)
  expect_identical(c_misnamed(public), character())
  expect_identical(public$name[duplicated(public$name)], character())
})

test_that("the map of src/ names every module", {
  dir <- c_source_dir()
  skip_if(is.null(dir) || !file.exists(file.path(dir, "README.md")), "the map is not here")
  words <- unlist(strsplit(readLines(file.path(dir, "README.md")), "[^A-Za-z0-9_]+"))
  files <- list.files(dir, "[.][ch]$", recursive = TRUE)
  expect_identical(setdiff(sub("[.][ch]$", "", basename(files)), words), character())
})

test_that("an upward call, a circle and a strange name are seen", {
  src <- list(
    files = c("base/la.c", "base/la.h", "engine/lr.c", "engine/vb.c"),
    text = c(
      "double la_dot(int n)\n{\n    return lr_respond(n);\n}",
      "static inline int vech(int r) { return r; }",
      "bool lr_respond(int n)\n{\n    return vb_run(n);\n}",
      paste0(
        "static int hidden(int n) { return 1; }\n",
        "enum status vb_run(const struct lmm *m,\n                   int n)\n{\n    lr_respond(n);\n}"
      )
    ),
    includes = list(character(), character(), "base/la.h", character())
  )
  graph <- c_graph(src)
  expect_identical(c_upward(graph$edges), "base/la -> engine/lr (lr_respond)")
  expect_setequal(c_circles(graph$edges), c(
    "base/la -> engine/lr (lr_respond)", "engine/lr -> base/la (base/la.h)",
    "engine/lr -> engine/vb (vb_run)", "engine/vb -> engine/lr (lr_respond)"
  ))
  expect_identical(c_misnamed(graph$public), "base/la.h: vech()")
})
