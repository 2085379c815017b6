# Autoencoders of handwritten digits: principal components in closed form, a network of 25-20-(2+2)
# and back, and what its encoder costs.
# Rscript data-raw/vae.R mnist01_pca25.rds
# The file is a list: train (12665 x 25), train_label, test (2115 x 25), test_label: zeros and ones
# on 25 principal components of the training images.
library(meanfield)

digits <- readRDS(commandArgs(trailingOnly = TRUE)[1])
names <- paste0("pc", 1:25)
train <- `colnames<-`(digits$train, names)
test <- `colnames<-`(digits$test, names)
# Processor time: other work on the machine does not count.
seconds <- function(expr) sum(system.time(expr)[c("user.self", "sys.self")])

for (q in c(1, 2, 5)) {
  fit <- fit_vb(vae(train, q, encoder = "linear", decoder = "linear"))
  cat(sprintf("q = %d: s2 %.7f, train %.5f, test %.5f; variances of z", q, fit$sigma^2,
    fit$vb$elbo / nrow(train), mean(predict(fit, test, "log_lik"))),
    signif(exp(2 * fit$latent$log_s[, 1]), 7), "\n")
}
linear <- vae(train, 2, encoder = "linear", decoder = "linear")
spent <- seconds(adam <- fit_vb(linear, optimiser = "adam", control = vb_control(epochs = 60)))
cat(sprintf("the same by Adam: %.5f, %.1f s\n", adam$vb$elbo / nrow(train), spent))

for (seed in 1:4) {
  spent <- seconds(fit <- fit_vb(vae(train, 2), control = vb_control(epochs = 60, seed = seed)))
  cat(sprintf("network, seed %d: train %.3f, test %.3f, sigma %.3f, %.1f s\n", seed,
    fit$vb$elbo / nrow(train), mean(predict(fit, test, "elbo")), fit$sigma, spent))
}
set.seed(1)
print(amortisation_gap(fit, test[sample(nrow(test), 60), ]))
print(amortisation_gap(fit, test)) # a few rows make most of the mean
spent <- seconds(own <- fit_vb(vae(train, 2, encoder = "none"),
  control = vb_control(epochs = 60)))
cat(sprintf("no encoder: train %.3f, test %.3f, sigma %.3f, %.1f s\n", own$vb$elbo / nrow(train),
  mean(predict(own, test, "elbo")), own$sigma, spent))
