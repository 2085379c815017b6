/* r_gibbs.c: glue of the samplers, and of the Gaussian model's: one call is one chain. R's random
 * number state is open only around core calls, which cannot jump, here as in every entry that draws. */
#include <limits.h>
#include <string.h>
#include "glue/r_gibbs.h"

struct sampler_control r_gibbs_sweeps(SEXP control)
{
    struct sampler_control c = {.iter = r_int(control, "iter", 1, INT_MAX - 1),
                                .thin = r_int(control, "thin", 1, INT_MAX)};
    c.warmup = r_int(control, "warmup", 0, c.iter);
    return c;
}

void r_gibbs_run(SEXP out, const struct sampler *s, const struct sampler_control *ctl,
                 SEXP progress)
{
    struct r_poll poll = {progress, ctl->iter > 100 ? ctl->iter / 100 : 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    GetRNGstate();
    enum core_status st = sampler_run(s, ctl, &h, &info);
    PutRNGstate();
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
}

SEXP r_gibbs_new(const struct lmm *m, int n_kept, bool save_u)
{
    size_t kept = (size_t) n_kept, dim = arrow_dim(&m->shape), n_u = dim - (size_t) m->p;
    const struct r_field f[GIBBS_FIELDS] = {
        [GIBBS_DRAWS] = {"draws", kept, (size_t) (m->p + m->n_stat)},
        [GIBBS_U_DRAWS] = {"u_draws", save_u ? kept : 0, save_u ? n_u : 0},
        [GIBBS_U_MEAN] = {"u_mean", n_u, R_VECTOR},
        [GIBBS_U_M2] = {"u_m2", n_u, R_VECTOR},
        [GIBBS_LAST] = {"t", (size_t) m->n_par, R_VECTOR},
        [GIBBS_THETA] = {"theta", dim, R_VECTOR},
        [GIBBS_MOVER] = {"mover", 2, R_VECTOR}};
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
    const struct lmm_centre c = r_centre(centre, &m);
    struct gibbs_chain x = {.m = &m, .c = &c};
    x.ctl =
        (struct gibbs_control){r_gibbs_sweeps(control), r_flag(control, "interweave")};
    bool save_u = r_flag(control, "save_u");
    const double *from = r_as_finite(start, "start", m.n_par);
    SEXP hear = r_progress(progress);
    SEXP out = PROTECT(r_gibbs_new(&m, sampler_kept(&x.ctl.run), save_u));
    struct gibbs_state s = r_gibbs_view(out, from, m.n_par, save_u);
    struct gibbs_work w;
    R_ARENA (a) {
        w = gibbs_work_carve(&m, &a);
    }
    x.s = &s;
    x.w = &w;
    const struct sampler sampler = gibbs_sampler(&x);
    r_gibbs_run(out, &sampler, &x.ctl.run, hear);
    UNPROTECT(1);
    return out;
}
