/* r_glmm_gibbs.c: glue of the sampler of generalised models (one call is one chain), and of the
 * Polya-Gamma generator for its tests. */
#include <string.h>
#include "r_glmm.h"
#include "glmm_gibbs.h"
#include "rand_pg.h"

/* The sampler's layout has a first precision that stands still (glmm_gibbs.h); where the model
 * has none (no phi), one is put before the terms. */
static void put_still_precision(struct lmm *m)
{
    if (m->first_term == 1) return;
    if (m->n_prec == LMM_MAX_PREC) Rf_error("internal error: %d precisions", m->n_prec);
    memmove(m->prec + 1, m->prec, sizeof(struct precision) * (size_t) m->n_prec);
    m->n_prec++;
    m->n_stat++;
    m->n_par++;
    m->first_term = 1;
    m->prec[0] = (struct precision){.r = 1, .aux = -1};
    for (int k = 1; k < m->n_prec; k++) {
        m->prec[k].at++;
        if (m->prec[k].aux >= 0) m->prec[k].aux++;
    }
}

enum { DRAWS, U_DRAWS, U_MEAN, U_M2, LAST, THETA, MOVER, N_FIELDS };

/* core: as in r_glmm(); start: phi (1 without), then the precisions and auxiliaries;
 * control: list(iter, warmup, thin, interweave, save_u, hamiltonian, step).
 * Returns list(result, c(status, iter, block)); result$mover is c(phi, acceptance, step). */
SEXP C_fit_glmm_gibbs(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    struct glmm m = r_glmm(core, NULL);
    put_still_precision(&m.lmm);
    size_t dim = arrow_dim(&m.lmm.shape), n_u = dim - (size_t) m.lmm.p;
    size_t q = (size_t) m.lmm.n_par;
    const struct glmm_gibbs_control ctl = {
        {r_int(control, "iter"), r_int(control, "warmup"), r_int(control, "thin"),
         Rf_asLogical(r_elt(control, "interweave"))},
        Rf_asLogical(r_elt(control, "hamiltonian")) ? GLMM_HMC : GLMM_PG};
    bool save_u = Rf_asLogical(r_elt(control, "save_u"));
    size_t kept = (size_t) gibbs_kept(&ctl.run);
    if ((size_t) Rf_length(start) != q || TYPEOF(start) != REALSXP)
        Rf_error("internal error: %d starting values needed", (int) q);

    const struct r_field f[N_FIELDS] = {
        [DRAWS] = {"draws", kept, (size_t) (m.lmm.p + m.lmm.n_stat)},
        [U_DRAWS] = {"u_draws", save_u ? kept : 0, save_u ? n_u : 0},
        [U_MEAN] = {"u_mean", n_u, R_VECTOR},
        [U_M2] = {"u_m2", n_u, R_VECTOR},
        [LAST] = {"t", q, R_VECTOR},
        [THETA] = {"theta", dim, R_VECTOR},
        [MOVER] = {"mover", 3, R_VECTOR}};
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(out, 0, r_list(f, N_FIELDS));
    SET_VECTOR_ELT(out, 1, Rf_allocVector(INTSXP, 3));
    SEXP res = VECTOR_ELT(out, 0);
    struct glmm_gibbs_state s = {
        .g = {.t = r_out(res, LAST), .theta = r_out(res, THETA), .draws = r_out(res, DRAWS),
              .u_draws = save_u ? r_out(res, U_DRAWS) : NULL, .u_mean = r_out(res, U_MEAN),
              .u_m2 = r_out(res, U_M2)},
        .phi = REAL(start)[0], .step = r_num(control, "step")};
    double *mover = r_out(res, MOVER);
    memcpy(s.g.t, REAL(start), sizeof(double) * q);
    s.g.t[0] = 1;
    struct arena count = {NULL, 0};
    glmm_gibbs_work_carve(&m, &count);
    struct arena a = r_arena(&count);
    struct glmm_gibbs_work w = glmm_gibbs_work_carve(&m, &a);
    struct r_poll poll = {progress, ctl.run.iter > 100 ? ctl.run.iter / 100 : 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};

    GetRNGstate();
    enum core_status st = glmm_gibbs_run(&m, &ctl, &s, &w, &h, &info);
    PutRNGstate();
    mover[0] = s.phi;
    mover[1] = s.accept;
    mover[2] = s.step;
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* One draw from PG(b_i, c_i) each, for the tests. */
SEXP C_test_pg(SEXP b, SEXP c)
{
    R_xlen_t n = Rf_xlength(b);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
    const double *pb = REAL(b), *pc = REAL(c);
    double *x = REAL(out);
    GetRNGstate();
    for (R_xlen_t i = 0; i < n; i++) x[i] = rand_pg(pb[i], pc[i]);
    PutRNGstate();
    UNPROTECT(1);
    return out;
}
