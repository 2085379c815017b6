/* r_gibbs.c: glue of the sampler: one call is one chain. The only place, with r_arrow.c, that
 * opens and closes R's random number state, tight around core calls that cannot jump. */
#include <string.h>
#include "r_util.h"
#include "lmm_gibbs.h"

enum { DRAWS, U_DRAWS, U_MEAN, U_M2, LAST, THETA, N_FIELDS };

/* centre: list(theta, grad, rss); control: list(iter, warmup, thin, interweave, save_u);
 * progress: function of the sweeps done, or NULL.
 * Returns list(result, c(status, iter, block)). */
SEXP C_fit_gibbs(SEXP core, SEXP start, SEXP centre, SEXP control, SEXP progress)
{
    const struct lmm m = r_model(core);
    size_t dim = arrow_dim(&m.shape), n_u = dim - (size_t) m.p;
    int q = m.n_par;
    const struct gibbs_control ctl = {r_int(control, "iter"), r_int(control, "warmup"),
                                      r_int(control, "thin"),
                                      Rf_asLogical(r_elt(control, "interweave"))};
    const struct lmm_centre c = {r_dbl(centre, "theta", (R_xlen_t) dim),
                                   r_dbl(centre, "grad", (R_xlen_t) dim),
                                   r_num(centre, "rss")};
    bool save_u = Rf_asLogical(r_elt(control, "save_u"));
    size_t kept = (size_t) gibbs_kept(&ctl);
    if (Rf_length(start) != q) Rf_error("internal error: %d starting values needed", q);

    const struct r_field f[N_FIELDS] = {
        [DRAWS] = {"draws", kept, (size_t) (m.p + m.n_stat)},
        [U_DRAWS] = {"u_draws", save_u ? kept : 0, save_u ? n_u : 0},
        [U_MEAN] = {"u_mean", n_u, R_VECTOR},
        [U_M2] = {"u_m2", n_u, R_VECTOR},
        [LAST] = {"t", (size_t) q, R_VECTOR},
        [THETA] = {"theta", dim, R_VECTOR}};
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(out, 0, r_list(f, N_FIELDS));
    SET_VECTOR_ELT(out, 1, Rf_allocVector(INTSXP, 3));
    SEXP res = VECTOR_ELT(out, 0);
    struct gibbs_state s = {.t = r_out(res, LAST), .theta = r_out(res, THETA),
                            .draws = r_out(res, DRAWS),
                            .u_draws = save_u ? r_out(res, U_DRAWS) : NULL,
                            .u_mean = r_out(res, U_MEAN), .u_m2 = r_out(res, U_M2)};
    memcpy(s.t, REAL(start), sizeof(double) * (size_t) q);
    struct arena count = {NULL, 0};
    gibbs_work_carve(&m, &count);
    struct arena a = r_arena(&count);
    struct gibbs_work w = gibbs_work_carve(&m, &a);
    struct r_poll poll = {progress, ctl.iter > 100 ? ctl.iter / 100 : 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};

    GetRNGstate();
    enum core_status st = gibbs_run(&m, &ctl, &c, &s, &w, &h, &info);
    PutRNGstate();
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}
