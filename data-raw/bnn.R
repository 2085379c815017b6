# Bayesian networks: mean field's predictions and those of fit_hmc() against long runs of two other
# samplers. inst/extdata/bnn-*.csv: 60 simulated rows of three classes and 40 of a number (known
# noise of SD .2, a gap in the middle), and at 20 inputs each posterior mean and SD by Hamiltonian
# Monte Carlo (mean, sd, mcse: own code, 4 x 6,000 and 4 x 20,000) and by elliptical slice sampling
# (_ess). Rscript data-raw/bnn.R
library(meanfield)

extdata <- function(name) utils::read.csv(system.file("extdata", name, package = "meanfield"))
classes <- extdata("bnn-class.csv")
numbers <- extdata("bnn-reg.csv")
truth <- list(classes = extdata("bnn-class-truth.csv"), numbers = extdata("bnn-reg-truth.csv"))
models <- list(classes = bnn(classes[1:2], classes$class, 8, "categorical"),
  numbers = bnn(numbers["x"], numbers$y, 10, sigma = 0.2))

# What a fit predicts where the truth is known, in the order of the truth.
at_truth <- function(fit, name) {
  t <- truth[[name]]
  if (name == "numbers") return(predict(fit, t["x"]))
  inputs <- unique(t[c("x1", "x2")])
  p <- predict(fit, inputs)
  row <- match(paste(t$x1, t$x2), paste(inputs$x1, inputs$x2))
  p[match(paste(row, t$class), paste(p$row, p$class)), ]
}

line <- function(name, what, fit) {
  t <- truth[[name]]
  p <- at_truth(fit, name)
  off <- (p$mean - t$mean) / t$sd
  ratio <- (p$sd / t$sd)[name == "numbers" | t$mean >= 0.02]
  data.frame(model = name, fit = what, elbo = if (is.null(fit$vb)) NA else fit$vb$elbo,
    rms_offset = sqrt(mean(off^2)), max_offset = max(abs(off)), min_ratio = min(ratio),
    median_ratio = stats::median(ratio), max_ratio = max(ratio), seconds = fit$seconds)
}

table <- list()
for (name in names(models)) {
  for (seed in 1:4) {
    fit <- fit_vb(models[[name]], control = vb_control(seed = seed))
    table <- c(table, list(line(name, paste("mean field, seed", seed), fit)))
  }
  set.seed(1)
  hmc <- fit_hmc(models[[name]])
  table <- c(table, list(line(name, "fit_hmc()", hmc)))
  print(hmc)
  print(predictive_report(fit, hmc))
}
options(width = 150)
print(do.call(rbind, table), digits = 3, row.names = FALSE)
