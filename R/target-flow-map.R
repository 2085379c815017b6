# A normalising flow as a map and a density; the equations are in src/blackbox/flow.h.
#
# A flow is list(m, L, layers, hidden, w): draws z = m + L x_K of e ~ N(0, I).

# z (d x n) and log q there, of base points e.
flow_draw <- function(flow, e) {
  out <- call_bb_flow_map(flow, e)
  list(z = out$y, log_q = out$log_q)
}

# The base points e of draws z, and log q there.
flow_base <- function(flow, z) {
  out <- call_bb_flow_map(flow, z, inverse = TRUE)
  list(e = out$y, log_q = out$log_q)
}

# log q at the columns of z; -Inf where the way back overflows.
flow_log_density <- function(flow, z) {
  log_q <- flow_base(flow, z)$log_q
  replace(log_q, is.na(log_q), -Inf)
}

flow_points <- function(d) shifted_points(if (d <= 20L) 8192L else 2048L, d, shift = 23L)
