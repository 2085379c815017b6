/* r_gibbs.c: glue of the sampler: one call is one chain. R's random number state is open only
 * around core calls, which cannot jump, here as in every other entry that draws. */
#include <limits.h>
#include <string.h>
#include "glue/r_gibbs.h"

struct gibbs_control r_gibbs_control(SEXP control)
{
    struct gibbs_control c = {.iter = r_int(control, "iter", 1, INT_MAX - 1),
                              .thin = r_int(control, "thin", 1, INT_MAX),
                              .interweave = r_flag(control, "interweave")};
    c.warmup = r_int(control, "warmup", 0, c.iter);
    return c;
}

SEXP r_gibbs_new(const struct lmm *m, const struct gibbs_control *ctl, bool save_u)
{
    size_t kept = (size_t) gibbs_kept(ctl), dim = arrow_dim(&m->shape),
           n_u = dim - (size_t) m->p;
    const struct r_field f[GIBBS_FIELDS] = {
        [GIBBS_DRAWS] = {"draws", kept, (size_t) (m->p + m->n_stat)},
        [GIBBS_U_DRAWS] = {"u_draws", save_u ? kept : 0, save_u ? n_u : 0},
        [GIBBS_U_MEAN] = {"u_mean", n_u, R_VECTOR},
        [GIBBS_U_M2] = {"u_m2", n_u, R_VECTOR},
        [GIBBS_LAST] = {"t", (size_t) m->n_par, R_VECTOR},
        [GIBBS_THETA] = {"theta", dim, R_VECTOR},
        [GIBBS_MOVER] = {"mover", 3, R_VECTOR}};
    return r_with_status(r_list(f, GIBBS_FIELDS));
}

struct gibbs_state r_gibbs_view(SEXP out, const double *start, int n_par, bool save_u)
{
    SEXP res = VECTOR_ELT(out, 0);
    struct gibbs_state s = {.t = r_out(res, GIBBS_LAST),
                            .theta = r_out(res, GIBBS_THETA),
                            .draws = r_out(res, GIBBS_DRAWS),
                            .u_draws = save_u ? r_out(res, GIBBS_U_DRAWS) : NULL,
                            .u_mean = r_out(res, GIBBS_U_MEAN),
                            .u_m2 = r_out(res, GIBBS_U_M2)};
    memcpy(s.t, start, sizeof(double) * (size_t) n_par);
    return s;
}

/* centre: list(theta, grad, rss); control: list(iter, warmup, thin, interweave, save_u);
 * progress: function of the sweeps done, or NULL.
 * Returns list(result, c(status, iter, block)). */
SEXP C_fit_gibbs(SEXP core, SEXP start, SEXP centre, SEXP control, SEXP progress)
{
    const struct lmm m = r_model(core);
    const struct gibbs_control ctl = r_gibbs_control(control);
    const struct lmm_centre c = r_centre(centre, &m);
    bool save_u = r_flag(control, "save_u");
    const double *from = r_as_finite(start, "start", m.n_par);
    struct r_poll poll = {r_progress(progress), ctl.iter > 100 ? ctl.iter / 100 : 1};
    SEXP out = PROTECT(r_gibbs_new(&m, &ctl, save_u));
    struct gibbs_state s = r_gibbs_view(out, from, m.n_par, save_u);
    struct gibbs_work w;
    R_ARENA (a) {
        w = gibbs_work_carve(&m, &a);
    }
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};

    GetRNGstate();
    enum core_status st = gibbs_run(&m, &ctl, &c, &s, &w, &h, &info);
    PutRNGstate();
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}
