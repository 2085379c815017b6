/* r_glmm_gibbs.c: glue of the sampler of generalised models (one call is one chain), and of the
 * Polya-Gamma generator for its tests. */
#include <string.h>
#include "base/rand_pg.h"
#include "engine/glmm_gibbs.h"
#include "glue/r_gibbs.h"
#include "glue/r_glmm.h"

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
    m->prec[0] = (struct precision){.r = 1, .factor = -1, .aux = -1};
    for (int k = 1; k < m->n_prec; k++) {
        m->prec[k].at++;
        if (m->prec[k].aux >= 0) m->prec[k].aux++;
    }
}

/* Polya-Gamma variables are for binomial responses. */
static void need_mover(const struct glmm *m, enum glmm_mover mover)
{
    bool binomial = m->family == GLMM_BINOMIAL || m->family == GLMM_BINOMIAL_PG;
    if (mover == GLMM_PG && !binomial) r_bad("hamiltonian");
}

/* core: as in r_glmm(); start: phi (1 without), then the precisions and auxiliaries;
 * control: list(iter, warmup, thin, interweave, save_u, hamiltonian, step).
 * Returns list(result, c(status, iter, block)). */
SEXP C_fit_glmm_gibbs(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    struct glmm m = r_glmm(core);
    put_still_precision(&m.lmm);
    struct glmm_gibbs_chain x = {.m = &m};
    x.ctl = (struct glmm_gibbs_control){
        {r_gibbs_sweeps(control), r_flag(control, "interweave")},
        r_flag(control, "hamiltonian") ? GLMM_HMC : GLMM_PG};
    bool save_u = r_flag(control, "save_u");
    const double *from = r_as_finite(start, "start", m.lmm.n_par);
    if (!(from[0] > 0)) r_bad("start");
    need_mover(&m, x.ctl.mover);
    double step = r_num(control, "step", 1e-10, 10);
    SEXP hear = r_progress(progress);
    SEXP out = PROTECT(r_gibbs_new(&m.lmm, sampler_kept(&x.ctl.gibbs.run), save_u));
    struct glmm_gibbs_state s = {
        .g = r_gibbs_view(out, from, m.lmm.n_par, save_u), .phi = from[0], .step = step};
    s.g.t[0] = 1;
    struct glmm_gibbs_work w;
    R_ARENA (a) {
        w = glmm_gibbs_work_carve(&m, &a);
    }
    x.s = &s;
    x.w = &w;
    const struct sampler sampler = glmm_gibbs_sampler(&x);
    r_gibbs_run(out, &sampler, &x.ctl.gibbs.run, hear);
    double *mover = r_out(VECTOR_ELT(out, 0), GIBBS_MOVER);
    mover[0] = s.phi;
    mover[1] = s.accept;
    mover[2] = s.step;
    UNPROTECT(1);
    return out;
}

/* One draw from PG(b_i, c_i) each, for the tests. */
SEXP C_test_pg(SEXP b, SEXP c)
{
    const double *pb = r_as_dbl(b, "b", -1);
    R_xlen_t n = Rf_xlength(b);
    const double *pc = r_as_dbl(c, "c", n);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
    double *x = REAL(out);
    GetRNGstate();
    for (R_xlen_t i = 0; i < n; i++) x[i] = rand_pg(pb[i], pc[i]);
    PutRNGstate();
    UNPROTECT(1);
    return out;
}
