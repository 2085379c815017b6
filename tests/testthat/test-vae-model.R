# vae(): what it takes, and what it refuses, with a remedy.

x <- as.matrix(scale(iris[1:4]))

refused <- function(call, class, arg, words) {
  e <- tryCatch(call, error = identity)
  expect_s3_class(e, paste0("meanfield_error_", class))
  expect_identical(e$arg, arg)
  expect_match(conditionMessage(e), words)
}

test_that("bad input is refused by name", {
  refused(vae(), "data", "x", "missing")
  refused(vae(x), "control", "latent", "missing")
  refused(vae(x, 4), "control", "latent", "less than the number of columns, 4: use fewer")
  refused(vae(x[1:4, ], 3), "control", "latent", "rows")
  refused(vae(x, 0), "control", "latent", "whole number from 1")
  refused(vae(x, 1.5), "control", "latent", "whole number")
  refused(vae(x, 2, hidden = 0), "control", "hidden", "whole numbers from 1")
  refused(vae(x, 2, hidden = integer()), "control", "hidden", "whole numbers from 1")
  refused(vae(x, 2, 5, "linear", "linear"), "control", "hidden", "leave it out")
  refused(vae(x, 2, encoder = "deep"), "control", "encoder", "network")
  refused(vae(x, 2, decoder = 3), "control", "decoder", "network")
  refused(vae(x[1, , drop = FALSE], 1), "data", "x", "at least 3")
  refused(vae(x[0, ], 1), "data", "x", "at least 3")
  refused(vae("a", 1), "data", "x", "numeric matrix")
  refused(vae(iris, 1), "data", "x", "'Species'.*leave it out")
  refused(vae(replace(x, 7, NA), 1), "data", "x", "row 7: leave such rows out")
  refused(vae(replace(x, 7, Inf), 1), "data", "x", "infinite")
  refused(vae(replace(x, 7, 1e80), 1), "data", "x", "rescale")
  refused(vae(cbind(x, same = 1), 1), "rank", "x", "'same'.*leave it out")
  refused(vae(x[, 1], 1), "control", "latent", "more columns")
})

test_that("columns of different size are a message, and a model prints", {
  expect_message(vae(cbind(x, big = 1e3 * x[, 1] + x[, 2]), 1), class = "meanfield_message_scale")
  expect_no_message(vae(x, 1))
  expect_output(print(vae(x, 2, c(7, 5))), "network 4-7-5-\\(2\\+2\\)[\\s\\S]*network 2-5-7-4",
    perl = TRUE)
  expect_output(print(vae(x, 1, encoder = "linear", decoder = "linear")), "1 latent variable,")
})

test_that("settings of a fit that do not go together are refused", {
  closed <- vae(x, 1, encoder = "linear", decoder = "linear")
  refused(fit_vb(vae(x, 1), optimiser = "closed_form"), "control", "optimiser", "adam")
  refused(fit_vb(closed, optimiser = "newton"), "control", "optimiser", "closed_form")
  refused(fit_vb(vae(x, 1), control = vb_control(epochs = 2, steps = 3)), "control", "steps",
    "not both")
  refused(fit_vb(closed, control = list()), "control", "control", "vb_control")
  refused(fit_vb(closed, epochs = 3), "control", "...", "epochs")
  refused(vb_control(epochs = 0), "control", "epochs", "from 1")
  # no noise left: three columns of two dimensions
  flat <- cbind(x[, 1:2], x[, 1] + x[, 2])
  refused(fit_vb(vae(flat, 2, encoder = "linear", decoder = "linear")), "rank", "latent", "fewer")
  old <- closed
  old$version <- 0L
  refused(fit_vb(old), "fit", "object", "again")
  refused(fit_vb(replace(closed, "scale", -1)), "fit", "object", "scale")
})

test_that("a fit that was changed is refused", {
  fit <- fit_vb(vae(x, 2, encoder = "linear", decoder = "linear"))
  for (part in c("w", "row_elbo", "sigma", "kl", "trace", "converged")) {
    refused(summary(replace(fit, part, list("a"))), "fit", "object", part)
  }
  refused(predict(fit, x[, 1:3]), "newdata", "newdata", "no column")
  refused(predict(fit, x[0, ]), "newdata", "newdata", "at least one")
  refused(predict(fit, replace(x, 3, NA)), "newdata", "newdata", "leave such rows out")
  refused(predict(fit, type = "mode"), "control", "type", "latent")
  refused(plot(fit, what = "trace"), "engine", "what", "no trace")
  refused(plot(fit, dimensions = 3), "control", "dimensions", "1 to 2")
  refused(plot(fit, groups = 1:3), "control", "groups", "150")
})
