# The formats of draws, which the package itself does not import: posterior is slow to load.
as_draws_array <- posterior::as_draws_array
as_draws_df <- posterior::as_draws_df
as_draws_list <- posterior::as_draws_list
as_draws_matrix <- posterior::as_draws_matrix
as_draws_rvars <- posterior::as_draws_rvars
