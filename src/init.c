/* init.c: the registration table. */
#include <R.h>
#include <Rinternals.h>
#include <R_ext/Rdynload.h>
#include <R_ext/Visibility.h>

SEXP C_arrow_draws(SEXP, SEXP);
SEXP C_arrow_leaves(SEXP);
SEXP C_known_cov(SEXP, SEXP, SEXP);
SEXP C_dense_columns(SEXP);
SEXP C_arrow_product(SEXP, SEXP);
SEXP C_arrow_quad(SEXP, SEXP);
SEXP C_bb_factorised(SEXP, SEXP, SEXP, SEXP);
SEXP C_bb_factorised_response(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_bb_flow(SEXP, SEXP, SEXP);
SEXP C_bb_flow_map(SEXP, SEXP, SEXP);
SEXP C_bb_gva(SEXP, SEXP, SEXP, SEXP);
SEXP C_bb_lbfgs(SEXP, SEXP, SEXP);
SEXP C_bb_hmc(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_bb_points(SEXP, SEXP);
SEXP C_bb_pull(SEXP, SEXP, SEXP);
SEXP C_bb_transform(SEXP, SEXP);
SEXP C_bb_untransform(SEXP, SEXP);
SEXP C_bnn(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_bnn_hmc(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_emulate(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_emulate_sampling(SEXP);
SEXP C_fit_glmm_vb(SEXP, SEXP, SEXP, SEXP);
SEXP C_fit_gibbs(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_fit_lmm_iter(SEXP, SEXP, SEXP, SEXP);
SEXP C_lmm_iter_draws(SEXP, SEXP, SEXP);
SEXP C_lmm_iter_product(SEXP, SEXP, SEXP);
SEXP C_lmm_iter_quad(SEXP, SEXP, SEXP);
SEXP C_fit_glmm_gibbs(SEXP, SEXP, SEXP, SEXP);
SEXP C_fit_vb(SEXP, SEXP, SEXP, SEXP);
SEXP C_gmm_classify(SEXP, SEXP, SEXP, SEXP);
SEXP C_gmm_fit(SEXP, SEXP, SEXP, SEXP);
SEXP C_gmm_gibbs(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_gmm_label_stats(SEXP, SEXP);
SEXP C_gmm_start(SEXP, SEXP, SEXP, SEXP);
SEXP C_gram(SEXP);
SEXP C_gram_pair(SEXP, SEXP, SEXP);
SEXP C_gram_merge(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_group_codes(SEXP, SEXP, SEXP);
SEXP C_joint(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_joint_hmc(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_joint_theta(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_limits(void);
SEXP C_lda_documents(SEXP, SEXP, SEXP, SEXP);
SEXP C_lda_fit(SEXP, SEXP, SEXP, SEXP);
SEXP C_lda_gibbs(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_lda_start(SEXP, SEXP);
SEXP C_lda_stochastic(SEXP, SEXP, SEXP);
SEXP C_lr(SEXP, SEXP);
SEXP C_misshapen(SEXP, SEXP, SEXP);
SEXP C_mlp(SEXP, SEXP, SEXP);
SEXP C_nest_bend(SEXP, SEXP, SEXP);
SEXP C_nest_draws(SEXP, SEXP, SEXP);
SEXP C_nest_fits(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_nest_lattice(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_nest_log_density(SEXP, SEXP, SEXP, SEXP);
SEXP C_nest_mixture(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_nest_mode(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_nest_quantiles(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_test_arrow(SEXP, SEXP);
SEXP C_test_normals(SEXP);
SEXP C_test_pg(SEXP, SEXP);
SEXP C_theta_draws(SEXP, SEXP, SEXP, SEXP);
SEXP C_vae_own(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP C_vae_train(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);

static const R_CallMethodDef call_entries[] = {
    {"C_arrow_draws", (DL_FUNC) &C_arrow_draws, 2},
    {"C_arrow_leaves", (DL_FUNC) &C_arrow_leaves, 1},
    {"C_known_cov", (DL_FUNC) &C_known_cov, 3},
    {"C_dense_columns", (DL_FUNC) &C_dense_columns, 1},
    {"C_arrow_product", (DL_FUNC) &C_arrow_product, 2},
    {"C_arrow_quad", (DL_FUNC) &C_arrow_quad, 2},
    {"C_bb_factorised", (DL_FUNC) &C_bb_factorised, 4},
    {"C_bb_factorised_response", (DL_FUNC) &C_bb_factorised_response, 5},
    {"C_bb_flow", (DL_FUNC) &C_bb_flow, 3},
    {"C_bb_flow_map", (DL_FUNC) &C_bb_flow_map, 3},
    {"C_bb_gva", (DL_FUNC) &C_bb_gva, 4},
    {"C_bb_lbfgs", (DL_FUNC) &C_bb_lbfgs, 3},
    {"C_bb_hmc", (DL_FUNC) &C_bb_hmc, 5},
    {"C_bb_points", (DL_FUNC) &C_bb_points, 2},
    {"C_bb_pull", (DL_FUNC) &C_bb_pull, 3},
    {"C_bb_transform", (DL_FUNC) &C_bb_transform, 2},
    {"C_bb_untransform", (DL_FUNC) &C_bb_untransform, 2},
    {"C_bnn", (DL_FUNC) &C_bnn, 5},
    {"C_bnn_hmc", (DL_FUNC) &C_bnn_hmc, 7},
    {"C_emulate", (DL_FUNC) &C_emulate, 5},
    {"C_emulate_sampling", (DL_FUNC) &C_emulate_sampling, 1},
    {"C_fit_glmm_vb", (DL_FUNC) &C_fit_glmm_vb, 4},
    {"C_fit_gibbs", (DL_FUNC) &C_fit_gibbs, 5},
    {"C_fit_glmm_gibbs", (DL_FUNC) &C_fit_glmm_gibbs, 4},
    {"C_fit_lmm_iter", (DL_FUNC) &C_fit_lmm_iter, 4},
    {"C_lmm_iter_draws", (DL_FUNC) &C_lmm_iter_draws, 3},
    {"C_lmm_iter_product", (DL_FUNC) &C_lmm_iter_product, 3},
    {"C_lmm_iter_quad", (DL_FUNC) &C_lmm_iter_quad, 3},
    {"C_fit_vb", (DL_FUNC) &C_fit_vb, 4},
    {"C_gmm_classify", (DL_FUNC) &C_gmm_classify, 4},
    {"C_gmm_fit", (DL_FUNC) &C_gmm_fit, 4},
    {"C_gmm_gibbs", (DL_FUNC) &C_gmm_gibbs, 6},
    {"C_gmm_label_stats", (DL_FUNC) &C_gmm_label_stats, 2},
    {"C_gmm_start", (DL_FUNC) &C_gmm_start, 4},
    {"C_gram", (DL_FUNC) &C_gram, 1},
    {"C_gram_pair", (DL_FUNC) &C_gram_pair, 3},
    {"C_gram_merge", (DL_FUNC) &C_gram_merge, 6},
    {"C_group_codes", (DL_FUNC) &C_group_codes, 3},
    {"C_joint", (DL_FUNC) &C_joint, 5},
    {"C_joint_hmc", (DL_FUNC) &C_joint_hmc, 7},
    {"C_joint_theta", (DL_FUNC) &C_joint_theta, 5},
    {"C_limits", (DL_FUNC) &C_limits, 0},
    {"C_lda_documents", (DL_FUNC) &C_lda_documents, 4},
    {"C_lda_fit", (DL_FUNC) &C_lda_fit, 4},
    {"C_lda_gibbs", (DL_FUNC) &C_lda_gibbs, 5},
    {"C_lda_start", (DL_FUNC) &C_lda_start, 2},
    {"C_lda_stochastic", (DL_FUNC) &C_lda_stochastic, 3},
    {"C_lr", (DL_FUNC) &C_lr, 2},
    {"C_misshapen", (DL_FUNC) &C_misshapen, 3},
    {"C_mlp", (DL_FUNC) &C_mlp, 3},
    {"C_nest_bend", (DL_FUNC) &C_nest_bend, 3},
    {"C_nest_draws", (DL_FUNC) &C_nest_draws, 3},
    {"C_nest_fits", (DL_FUNC) &C_nest_fits, 5},
    {"C_nest_lattice", (DL_FUNC) &C_nest_lattice, 6},
    {"C_nest_log_density", (DL_FUNC) &C_nest_log_density, 4},
    {"C_nest_mixture", (DL_FUNC) &C_nest_mixture, 8},
    {"C_nest_mode", (DL_FUNC) &C_nest_mode, 6},
    {"C_nest_quantiles", (DL_FUNC) &C_nest_quantiles, 5},
    {"C_test_arrow", (DL_FUNC) &C_test_arrow, 2},
    {"C_test_normals", (DL_FUNC) &C_test_normals, 1},
    {"C_test_pg", (DL_FUNC) &C_test_pg, 2},
    {"C_theta_draws", (DL_FUNC) &C_theta_draws, 4},
    {"C_vae_own", (DL_FUNC) &C_vae_own, 5},
    {"C_vae_train", (DL_FUNC) &C_vae_train, 6},
    {NULL, NULL, 0}};

attribute_visible void R_init_meanfield(DllInfo *dll)
{
    R_registerRoutines(dll, NULL, call_entries, NULL, NULL);
    R_useDynamicSymbols(dll, FALSE);
    R_forceSymbols(dll, TRUE);
}
