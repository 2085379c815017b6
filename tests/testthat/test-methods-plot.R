# Curves of many kernels are those of all of them.

kernel_sum <- function(x, w, centre, spread, sinc) {
  vapply(x, function(at) {
    z <- (at - centre) / spread
    sum(w / spread * if (sinc) ifelse(abs(z) < 1e-8, 1, sin(pi * z) / (pi * z)) else dnorm(z))
  }, 0)
}

test_that("kernels gathered in cells make the same curve", {
  at <- expand.grid(a = seq(-4, 4, by = 0.08), b = seq(-4, 4, by = 0.16))
  w <- exp(-(at$a^2 + at$b^2) / 2)
  w <- w / sum(w)
  part <- list(centre = at$a + 0.3 * sin(at$b) + 1e6, spread = exp(0.3 * at$b) / 2)
  cells <- gathered_kernels(part, w)
  expect_lt(length(cells$w), nrow(at) / 3)
  expect_equal(sum(cells$w), 1)
  x <- 1e6 + seq(-4, 4, length.out = 41)
  for (sinc in c(FALSE, TRUE)) {
    whole <- kernel_sum(x, w, part$centre, part$spread, sinc)
    few <- kernel_sum(x, cells$w, cells$centre, cells$spread, sinc)
    expect_lt(max(abs(few - whole)), 0.005 * max(whole))
  }
  one <- gathered_kernels(list(centre = rep(1, 10), spread = rep(2, 10)), rep(0.1, 10))
  expect_equal(one, list(w = 1, centre = 1, spread = 2))
})
