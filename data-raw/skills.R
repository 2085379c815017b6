# Skills: the figures of the examples, each beside its truth. Usage, from the package root, with the
# package and BradleyTerry2 installed: Rscript data-raw/skills.R
#
# Truths: exact integrals (two players), or long runs of HMC and importance sampling with their
# errors (inst/extdata/skills-truth.csv).

library(meanfield)

truth <- read.csv("inst/extdata/skills-truth.csv")

line <- function(...) cat(sprintf(...), "\n", sep = "")

normal_of <- function(fit) {
  part <- fit$vb$components[[1L]]
  list(mean = part$m, sd = if (is.null(part$L)) part$sd else sqrt(rowSums(part$L^2)),
    cor = if (is.null(part$L)) 0 else cov2cor(tcrossprod(part$L))[1L, 2L])
}

# ---- two players ---------------------------------------------------------------------------------

line("\nTwo players: exact, full rank, factorised")
for (n in list(c(1, 0), c(5, 0), c(10, 0), c(10, 10))) {
  model <- skills(c("A", "B"), c("B", "A"), n)
  exact <- fit_exact(model)
  s <- as.data.frame(summary(exact))
  h <- head_to_head(exact)
  line("%2d-%-2d exact %.7f %.7f cor %.7f log evidence %.7f P(A better) %.7f P(A wins) %.7f", n[1L],
    n[2L], s$mean[1L], s$sd[1L], cov2cor(vcov(exact))[1L, 2L], exact$log_evidence,
    h$p_better["A", "B"], h$p_win["A", "B"])
  for (approximation in c("fullrank", "meanfield")) {
    fit <- suppressWarnings(fit_vb(model, approximation = approximation, refine = "no"))
    q <- normal_of(fit)
    line("      %-9s %.6f %.6f cor %.6f ELBO %.6f", approximation, q$mean[1L], q$sd[1L], q$cor,
      fit$vb$elbo)
  }
}

# ---- many ----------------------------------------------------------------------------------------

from_package <- function(name) {
  e <- new.env()
  utils::data(list = name, package = "BradleyTerry2", envir = e)
  e[[name]]
}

hockey <- from_package("icehockey")
visitor <- as.character(hockey$visitor)
opponent <- as.character(hockey$opponent)
hockey <- data.frame(winner = ifelse(hockey$result == 0, opponent, visitor),
  loser = ifelse(hockey$result == 0, visitor, opponent), wins = as.integer(hockey$result != 0.5),
  ties = as.integer(hockey$result == 0.5), home = ifelse(hockey$home.ice, opponent, NA))
decided <- hockey[hockey$ties == 0, ]

models <- list(
  baseball = skills(winner, loser, wins, al_east),
  icehockey = skills(winner, loser, wins, decided),
  flatlizards = skills(winner, loser, data = from_package("flatlizards")$contests)
)

off <- function(mean, sd, t) {
  sprintf("means off by %.4f SD, SD ratio %.4f to %.4f", max(abs(mean - t$mean) / t$sd),
    min(sd / t$sd), max(sd / t$sd))
}

for (name in names(models)) {
  model <- models[[name]]
  t <- truth[truth$data == name, ]
  t <- t[match(model$players, t$player), ]
  line("\n%s: %d players", name, length(model$players))
  cpu <- system.time(refined <- fit_vb(model))[["user.self"]]
  s <- as.data.frame(summary(refined))
  line("  refined    %s; log evidence %.4f (+- %.4f), k-hat %.2f, %.0f ms", off(s$mean, s$sd, t),
    refined$log_evidence, refined$evidence_error, refined$khat, 1000 * cpu)
  for (approximation in c("fullrank", "meanfield")) {
    fit <- fit_vb(model, approximation = approximation, refine = "no")
    q <- normal_of(fit)
    ratio <- q$sd / t$sd
    line("  %-10s %s (median %.3f); ELBO %.4f", approximation, off(q$mean, q$sd, t), median(ratio),
      fit$vb$elbo)
    if (approximation == "meanfield") {
      line("  its linear response: %s", off(fit$table$mean, fit$table$sd, t))
    }
  }
  more <- data.frame(winner = model$players[1L], loser = model$players[2L])
  more$wins <- 1
  plain <- fit_vb(model, refine = "no")
  cpu <- c(refined = system.time(for (i in 1:10) update(refined, more))[["user.self"]],
    plain = system.time(for (i in 1:10) update(plain, more))[["user.self"]]) / 10
  line("  update() with a match: %.0f ms refined, %.0f ms not refined", 1000 * cpu[1L],
    1000 * cpu[2L])
  p <- standings(refined)[1:3, c("player", "mean", "sd", "p_best")]
  p$truth <- t$p_best[match(p$player, t$player)]
  print(p, digits = 3, row.names = FALSE)
}

# ---- home ice and ties ---------------------------------------------------------------------------

line("\nIce hockey with home ice and ties")
print(fit_vb(skills(winner, loser, wins, hockey, ties = ties, home = home)))
line("\nBaseball at home and away, both links")
logit <- fit_vb(skills(winner, loser, wins, al_east, home = home))
probit <- fit_vb(skills(winner, loser, wins, al_east, home = home, link = "probit"))
print(logit)
print(compare(logit = logit, probit = probit, loo = FALSE))
