# The linear predictor of old and new rows, in pieces.

# The pieces of the linear predictor:
#   X, offset, w; groups: per factor included list(factor (index), code (NA: unseen level),
#   new (labels of unseen levels), Z (rows x r, zero where re.form leaves a coefficient out));
#   restore(): puts the rows that na.exclude removed back.
linear_parts <- function(fit, newdata, re.form, allow_new_levels, weights = NULL) {
  model <- fit$model
  use <- included_effects(model, re.form)
  frame <- if (is.null(newdata)) kept_frame(model) else new_frame(model, newdata, use)
  X <- stats::model.matrix(stats::delete.response(model$terms), frame,
    contrasts.arg = model$contrasts)
  w <- weights %||% if (is.null(newdata) && model$weighted) stats::model.weights(frame) else 1
  if (!is.null(weights)) check_new_weights(w, nrow(X))
  list(
    X = X, offset = linear_offset(fit, frame, newdata, nrow(X)),
    w = rep_len(w, nrow(X)),
    groups = lapply(use, match_groups, model = model, frame = frame,
      allow_new = allow_new_levels || is.null(newdata), is_new = !is.null(newdata)),
    restore = function(v) {
      if (!is.null(newdata)) return(set_names(v, rownames(X)))
      stats::naresid(model$na_action, set_names(v, rownames(X)))
    }
  )
}

set_names <- function(v, names) {
  if (is.matrix(v)) rownames(v) <- names else names(v) <- names
  v
}

check_new_weights <- function(w, n) {
  if (!is.numeric(w) || any(!is.finite(w)) || any(w <= 0) || !length(w) %in% c(1L, n)) {
    mf_abort("weights", "`weights` must be one positive number or one per row",
      arg = "weights")
  }
}

# What re.form includes, in lme4's grammar: a list of list(factor (index), terms): those terms of
# the factor in the form of build_factor(), or parts of them.
included_effects <- function(model, re.form) {
  all <- lapply(seq_along(model$factors), function(f) {
    list(factor = f, terms = model$factors[[f]]$terms)
  })
  if (is.null(re.form)) return(all)
  if (length(re.form) == 1L && is.atomic(re.form) && is.na(re.form)) return(list())
  if (!inherits(re.form, "formula")) refuse_re_form(model)
  parts <- split_bars(re.form[[length(re.form)]])
  bars <- group_bars(parts$bars)
  if (!identical(parts$fixed, 0) && !(length(bars) && identical(parts$fixed, 1))) {
    refuse_re_form(model)
  }
  at <- vapply(bars, function(b) factor_of_bar(model, b$group), 0L)
  lapply(sort(unique(at)), function(f) {
    list(factor = f, terms = lapply(bars[at == f], part_term, model = model, f = f,
      env = environment(re.form)))
  })
}

refuse_re_form <- function(model, ...) {
  names <- vapply(model$factors, `[[`, "", "name")
  mf_abort("control", if (...length()) paste0(...) else paste0("`re.form` must be NULL, NA, ~0",
    if (length(names)) paste0(" or a formula with some of the group terms, such as ~(1 | ",
      names[1L], ")")), arg = "re.form")
}

# The factor with the grouping expression of a bar; a:b is b:a.
factor_of_bar <- function(model, expr) {
  f <- match(grouping_key(expr), vapply(model$factors, function(x) grouping_key(x$expr), ""))
  if (is.na(f)) {
    known <- vapply(model$factors, `[[`, "", "name")
    refuse_re_form(model, "`re.form` names the grouping factor '", deparse1(expr),
      "', which the model has not; it has ", if (length(known)) toString(known) else "none")
  }
  f
}

grouping_key <- function(expr) {
  parts <- function(e) {
    if (is.call(e) && identical(e[[1L]], quote(`(`))) return(parts(e[[2L]]))
    if (is.call(e) && identical(e[[1L]], quote(`:`))) return(c(parts(e[[2L]]), parts(e[[3L]])))
    deparse1(e)
  }
  paste(sort(parts(expr), method = "radix"), collapse = ":")
}

# The left side of a bar of re.form as a part of the terms of factor f: tt, xlevels, contrasts, with
# the parameters of poly(), ns() and scale() that the fit has.
part_term <- function(bar, model, f, env) {
  if (identical(bar$lhs, 1)) return(list(tt = NULL))
  x <- model$factors[[f]]
  tt <- stats::terms(stats::as.formula(call("~", bar$lhs), env))
  mine <- variable_names(tt)
  predvars <- do.call(c, lapply(x$terms, function(t) {
    if (!is.null(t$tt)) stats::setNames(as.list(attr(t$tt, "predvars"))[-1L], variable_names(t$tt))
  }))
  lost <- setdiff(mine, names(predvars))
  if (length(lost)) refuse_effect(model, f, lost[1L])
  attr(tt, "predvars") <- as.call(c(quote(list), unname(predvars[mine])))
  own <- function(what) {
    all <- do.call(c, lapply(x$terms, `[[`, what))
    all[intersect(mine, names(all))]
  }
  list(tt = tt, xlevels = own("xlevels"), contrasts = own("contrasts"))
}

refuse_effect <- function(model, f, what) {
  x <- model$factors[[f]]
  refuse_re_form(model, "`re.form` has '", what, "' among the effects of '", x$name,
    "', where the model has ", toString(unique(plain_coef(x$coef))))
}

# The model frame of new data: predictors with the factor levels and the poly(), ns()
# and scale() parameters of the fit, and the grouping variables.
# use: included_effects().
new_frame <- function(model, newdata, use) {
  if (!is.data.frame(newdata)) {
    mf_abort("newdata", "`newdata` must be a data frame, not ", describe(newdata),
      arg = "newdata")
  }
  tt <- stats::delete.response(model$terms)
  grouping <- unique(unlist(lapply(use, group_variables, model = model)))
  vars <- c(all.vars(tt), grouping)
  check_variables(vars, newdata, environment(model$formula))
  frame <- tryCatch(
    {
      frame <- stats::model.frame(tt, newdata, na.action = stats::na.pass, xlev = model$xlevels)
      stats::.checkMFClasses(attr(tt, "dataClasses"), frame)
      frame
    },
    error = function(e) {
      mf_abort("newdata", "`newdata` does not fit the model: ", conditionMessage(e),
        "; give the variables the types and levels of the data",
        arg = "newdata")
    }
  )
  terms <- attr(frame, "terms")
  for (v in setdiff(grouping, names(frame))) {
    frame[[v]] <- eval(as.name(v), newdata, environment(model$formula))
  }
  attr(frame, "terms") <- terms
  frame
}

# offset() terms of the formula and the offset argument of the call, as lm() adds them.
linear_offset <- function(fit, frame, newdata, n) {
  offset <- stats::model.offset(frame)
  expr <- fit_argument(fit, "offset")
  if (!is.null(newdata) && !is.null(expr)) {
    extra <- tryCatch(
      eval(expr, newdata, environment(fit$model$formula)),
      error = function(e) {
        mf_abort("newdata", "the `offset` of the fit cannot be evaluated in `newdata`: ",
          conditionMessage(e), arg = "newdata")
      }
    )
    if (!is.numeric(extra) || length(extra) != n) {
      mf_abort("newdata", "the `offset` of the fit does not have one value per row of ",
        "`newdata`: use an offset() term in the formula", arg = "newdata")
    }
    offset <- (offset %||% 0) + extra
  }
  offset %||% rep(0, n)
}

# Variables of a factor's grouping expression and of its covariates.
group_variables <- function(included, model) {
  c(all.vars(model$factors[[included$factor]]$expr),
    unlist(lapply(included$terms, function(t) if (!is.null(t$tt)) all.vars(t$tt))))
}

# A level whose rows all have weight zero was there when the model was fitted, though the fit knows
# no more of it than of a new one.
match_groups <- function(included, model, frame, allow_new, is_new) {
  x <- model$factors[[included$factor]]
  values <- group_values(x$expr, frame, environment(model$formula))
  levels <- if (is.function(values$levels)) {
    values$levels(seq_len(values$n_levels))
  } else {
    values$levels
  }
  code <- match(levels, x$levels)[values$codes]
  new <- ifelse(is.na(code), levels[values$codes], NA_character_)
  unseen <- setdiff(unique(new[is.na(code)]), x$weightless)
  if (!allow_new && length(unseen)) {
    mf_abort("newdata", "`newdata` has levels of '", x$name,
      "' that the fit has not seen (", toString(utils::head(unseen, 5)),
      "): use allow_new_levels = TRUE, or re.form = NA", arg = "newdata")
  }
  list(factor = included$factor, code = code, new = new,
    Z = factor_covariates(included, model, frame, is_new))
}

# rows x r working covariates of a factor, as the fit saw them, of the coefficients that are
# included.
factor_covariates <- function(included, model, frame, is_new) {
  x <- model$factors[[included$factor]]
  Z <- matrix(0, nrow(frame), length(x$coef))
  for (t in included$terms) {
    z <- term_covariates(t, frame, is_new)
    if (!is.null(t$cols)) {
      Z[, t$cols] <- z[, t$own %||% 1L]
      next
    }
    lost <- setdiff(colnames(z), plain_coef(x$coef)) # coded otherwise than in the fit
    if (length(lost)) refuse_effect(model, included$factor, lost[1L])
    for (k in colnames(z)) Z[, plain_coef(x$coef) == k] <- z[, k]
  }
  if (is_identity(x$A)) Z else Z %*% x$A
}

# The fit's own frame holds the terms already evaluated; new data hold the variables.
term_covariates <- function(t, frame, is_new) {
  if (is.null(t$tt)) return(matrix(1, nrow(frame), 1L, dimnames = list(NULL, "(Intercept)")))
  tryCatch({
    vars <- if (is_new) {
      stats::model.frame(t$tt, frame, na.action = stats::na.pass, xlev = t$xlevels)
    } else {
      drop_predictor_levels(frame, t$tt)
    }
    stats::model.matrix(t$tt, vars, contrasts.arg = t$contrasts)
  }, error = function(e) {
    mf_abort("newdata", "`newdata` does not fit the effects of the groups: ", conditionMessage(e),
      arg = "newdata")
  })
}
