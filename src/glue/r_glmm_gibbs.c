/* r_glmm_gibbs.c: glue of the sampler of generalised models (one call is one chain), and of the
 * Polya-Gamma generator for its tests. */
#include "base/rand_pg.h"
#include "engine/glmm_gibbs.h"
#include "glue/r_gibbs.h"
#include "glue/r_glmm.h"

/* core: as in r_glmm(); start: the extra parameter if there is one, then the precisions and
 * auxiliaries; control: list(iter, warmup, thin, interweave, save_u, hamiltonian, step).
 * Returns list(result, c(status, iter, block)). */
SEXP C_fit_glmm_gibbs(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    const struct glmm m = r_glmm(core);
    struct glmm_gibbs_chain x = {.m = &m};
    x.ctl = (struct glmm_gibbs_control){
        {r_gibbs_sweeps(control), r_flag(control, "interweave")},
        r_flag(control, "hamiltonian") ? GLMM_HMC : GLMM_PG};
    bool save_u = r_flag(control, "save_u");
    const double *from = r_as_finite(start, "start", m.lmm.n_par);
    if (m.likelihood->n_extra && !(from[0] > 0)) r_bad("start");
    if (x.ctl.mover == GLMM_PG && !m.likelihood->polya_gamma) r_bad("hamiltonian");
    double step = r_num(control, "step", 1e-10, 10);
    SEXP hear = r_progress(progress);
    SEXP out = PROTECT(r_gibbs_new(&m.lmm, sampler_kept(&x.ctl.gibbs.run), save_u));
    struct glmm_gibbs_state s = {.g = r_gibbs_view(out, from, m.lmm.n_par, save_u),
                                 .step = step};
    struct glmm_gibbs_work w;
    R_ARENA (a) {
        w = glmm_gibbs_work_carve(&m, &a);
    }
    x.s = &s;
    x.w = &w;
    const struct sampler sampler = glmm_gibbs_sampler(&x);
    r_gibbs_run(out, &sampler, &x.ctl.gibbs.run, hear);
    double *mover = r_out(VECTOR_ELT(out, 0), GIBBS_MOVER);
    mover[0] = s.accept;
    mover[1] = s.step;
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
