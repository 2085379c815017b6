# Group terms taken out of formulas.

split <- function(text) {
  p <- parse_formula(as.formula(text), NULL)
  list(fixed = p$fixed[[3]], terms = vapply(p$bars, function(b) {
    paste(deparse1(b$lhs), if (b$split) "||" else "|", deparse1(b$group))
  }, ""))
}

# a:b and b:a are the same groups
sorted_groups <- function(terms) {
  halves <- strsplit(gsub("[()]", "", terms), " | ", fixed = TRUE)
  vapply(halves, function(h) {
    paste(h[1], "|", paste(sort(strsplit(h[2], ":")[[1]]), collapse = ":"))
  }, "")
}

test_that("group terms are what reformulas finds", {
  skip_if_not_installed("reformulas")
  set.seed(1)
  pick <- function(x) sample(x, 1)
  group <- function() pick(c("g", "h", "a/b", "a/b/c", "a:b", "(a:b)", "factor(g)", "a*b", "a + b", "(a/b):c"))
  term <- function() {
    pick(c("x", "z", "x:z", "f", "0", "1", "log(x)", "poly(x, 2)", "offset(o)", "I(x | z)",
      sprintf("(1 | %s)", group()), sprintf("(x | %s)", group()), sprintf("(0 + x | %s)", group()),
      sprintf("(1 + x + z | %s)", group()), sprintf("((x | %s))", group())))
  }
  seen <- 0
  for (i in 1:300) {
    text <- paste("y ~", paste(c("1", replicate(sample(5, 1), term())), collapse = " + "))
    if (grepl("I(x | z)", text, fixed = TRUE)) next # reformulas takes it for a group term
    f <- as.formula(text)
    own <- split(text)
    bars <- reformulas::findbars(f)
    theirs <- vapply(bars, deparse1, "")
    expect_setequal(sorted_groups(own$terms), sorted_groups(theirs))
    expect_identical(attr(terms(eval(call("~", own$fixed))), "term.labels"),
      attr(terms(reformulas::nobars(f)), "term.labels"), label = text)
    seen <- seen + length(theirs)
  }
  expect_gt(seen, 200)
})

test_that("what reformulas gets wrong, or leaves open", {
  # an intercept taken away after a group term stays away
  expect_equal(attr(terms(eval(call("~", split("y ~ x + (1 | g) - 1")$fixed))), "intercept"), 0)
  expect_equal(split("y ~ NULL + (1 | a)")$fixed, 1)
  expect_equal(split("y ~ (1 | g)")$fixed, 1)
  expect_equal(split("y ~ x + (f || a/b)")$terms, c("f || b:a", "f || a"))
  expect_equal(split("y ~ (1 | b %in% a)")$terms, "1 | b:a")
  expect_equal(split("y ~ (1 | a/(b/c))")$terms, c("1 | c:b:a", "1 | b:a", "1 | a"))
  # | inside a call is R's own
  expect_equal(split("y ~ I(x > 1 | z > 1) + (1 | g)")$terms, "1 | g")
  for (bad in c("y ~ x * (1 | g)", "y ~ x - (1 | g)", "y ~ -(1 | g)", "y ~ x:(1 | g)", "y ~ (1 | g)^2")) {
    expect_error(split(bad), class = "meanfield_error_formula", label = bad)
  }
})

test_that("(f || g) with a factor has independent effects", {
  d <- as.data.frame(nlme::Machines)
  fit <- fit_vb(score ~ Machine + (Machine || Worker), d, integrate = "no")
  v <- as.data.frame(VarCorr(fit))
  expect_true(all(is.na(v$var2)))
  expect_setequal(v$var1[v$grp != "Residual"], c("(Intercept)", "MachineB", "MachineC"))
  # new rows find their columns
  expect_equal(predict(fit, d[5:9, ]), predict(fit)[5:9], ignore_attr = TRUE, tolerance = 1e-10)
  d$B <- as.numeric(d$Machine == "B")
  d$C <- as.numeric(d$Machine == "C")
  same <- fit_vb(score ~ Machine + (1 | Worker) + (0 + B | Worker) + (0 + C | Worker), d, integrate = "no")
  expect_equal(fitted(fit), fitted(same), tolerance = 1e-10)
})
