/* r_joint.c: glue of the joint log density of a mixed model, and of its Hamiltonian sampler. Every
 * entry takes core, see r_model() and r_glmm(), centre, list(theta, grad, rss), of which other families
 * use nothing, and scale, per precision NULL or list(W, b) (joint.h). */
#include <limits.h>
#include <string.h>
#include "engine/joint.h"
#include "glue/r_bb_hmc.h"
#include "glue/r_glmm.h"

/* Not a copy but in place: the joint points into the task. */
struct task {
    struct glmm g;
    struct lmm_centre centre;
    struct joint j;
    int d;
};

static const struct joint_scale *r_scale(const struct lmm *m, SEXP scale)
{
    r_as_list(scale, "scale", m->n_prec);
    struct joint_scale *out =
        (struct joint_scale *) R_alloc((size_t) m->n_prec + 1, sizeof *out);
    for (int k = 0; k < m->n_prec; k++) {
        SEXP own = VECTOR_ELT(scale, k);
        out[k] = (struct joint_scale){NULL, NULL};
        if (own == R_NilValue || m->prec[k].n_levels == 0) continue;
        R_xlen_t n = (R_xlen_t) m->prec[k].r * m->prec[k].n_levels;
        r_as_list(own, "scale", -1);
        out[k] = (struct joint_scale){r_finite(own, "W", n * m->prec[k].r),
                                      r_finite(own, "b", n)};
    }
    return out;
}

static void r_joint(struct task *k, SEXP core, SEXP centre, SEXP scale)
{
    k->g = (struct glmm){.n = 0};
    if (r_is_null(core, "rows"))
        k->g.lmm = r_model(core);
    else
        k->g = r_glmm(core);
    k->centre = r_centre(centre, &k->g.lmm);
    size_t d = joint_dim(&k->g);
    if (d < 1 || d > INT_MAX) r_bad("core");
    k->d = (int) d;
    R_ARENA (a) {
        k->j = joint_carve(&k->g, &a);
    }
    k->j.centre = &k->centre;
    k->j.scale = r_scale(&k->g.lmm, scale);
    joint_prepare(&k->j);
}

/* x: d x n, n points. Returns list(lp, gradient: d x n or NULL), as r_ask.h has it. */
SEXP C_joint(SEXP core, SEXP centre, SEXP scale, SEXP x, SEXP gradient)
{
    struct task k;
    r_joint(&k, core, centre, scale);
    int n = r_columns(x, "x", k.d);
    bool slope = r_as_flag(gradient, "gradient");
    const double *points = r_as_dbl(x, "x", -1);
    const char *names[] = {"lp", "gradient", ""};
    SEXP out = PROTECT(Rf_mkNamed(VECSXP, names)), lp = Rf_allocVector(REALSXP, n);
    SET_VECTOR_ELT(out, 0, lp);
    if (slope) SET_VECTOR_ELT(out, 1, Rf_allocMatrix(REALSXP, k.d, n));
    double *g = slope ? REAL(VECTOR_ELT(out, 1)) : NULL;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t) i * (size_t) k.d;
        if (i % 64 == 63) R_CheckUserInterrupt();
        REAL(lp)[i] = joint_log_density(&k.j, points + at, g ? g + at : NULL);
        if (g && !R_FINITE(REAL(lp)[i]))
            for (int c = 0; c < k.d; c++) g[at + (size_t) c] = NA_REAL;
    }
    UNPROTECT(1);
    return out;
}

/* list(theta (dim x n), t (n_stat x n)) of points x; with back, list(x, .) of points (theta, psi). */
SEXP C_joint_theta(SEXP core, SEXP centre, SEXP scale, SEXP x, SEXP back)
{
    struct task k;
    r_joint(&k, core, centre, scale);
    int n = r_columns(x, "x", k.d);
    size_t d = (size_t) k.d, n_stat = (size_t) k.g.lmm.n_stat, dim = d - n_stat;
    const double *points = r_as_finite(x, "x", -1);
    bool reverse = r_as_flag(back, "back");
    const struct r_field f[2] = {{"theta", reverse ? d : dim, (size_t) n},
                                 {"t", n_stat, (size_t) n}};
    SEXP out = PROTECT(r_list(f, 2));
    for (size_t i = 0; i < (size_t) n; i++) {
        if (reverse) {
            double *to = r_out(out, 0) + i * d;
            memcpy(to, points + i * d, sizeof(double) * d);
            if (!joint_whiten(&k.j, to)) r_bad("x");
        } else {
            if (!joint_theta(&k.j, points + i * d, r_out(out, 0) + i * dim,
                             r_out(out, 1) + i * n_stat))
                r_bad("x");
        }
    }
    UNPROTECT(1);
    return out;
}

static double density(void *ctx, const double *z, double *g)
{
    return joint_log_density(ctx, z, g);
}

/* The rest as for C_bb_hmc(). */
SEXP C_joint_hmc(SEXP core, SEXP centre, SEXP scale, SEXP start, SEXP metric,
                 SEXP settings, SEXP progress)
{
    struct task k;
    r_joint(&k, core, centre, scale);
    r_columns(start, "start", k.d);
    struct r_hmc x = r_bb_hmc_new(start, metric, settings, progress);
    PROTECT(x.out);
    r_bb_hmc_run(&x, density, &k.j);
    UNPROTECT(1);
    return x.out;
}
