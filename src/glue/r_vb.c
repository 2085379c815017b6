/* r_vb.c: glue of the variational fit. */
#include <float.h>
#include <limits.h>
#include <string.h>
#include "glue/r_vb.h"

enum {
    T,
    DF,
    MEAN,
    S_GLOBAL,
    S_ELIM,
    PATTERN,
    D_INV,
    Q,
    S_LEAF,
    SQ_GLOBAL,
    SQ_LEAF,
    J,
    SS,
    TRACE,
    ELBO,
    LR_OK,
    V,
    C,
    SIGMA,
    K,
    N_FIELDS
};

static SEXP result_list(const struct lmm *m, int trace_rows)
{
    const struct arrow_shape *s = &m->shape;
    size_t q = (size_t) m->n_par, dim = arrow_dim(s), ng = (size_t) s->n_global;
    bool packed = s->packed;
    size_t elim = packed ? (size_t) s->eptr[s->n_elim] + (size_t) s->n_elim : 0;
    const struct r_field f[N_FIELDS] = {
        [T] = {"t", q, R_VECTOR},
        [DF] = {"df", (size_t) m->n_prec, R_VECTOR},
        [MEAN] = {"mean", dim, R_VECTOR},
        [S_GLOBAL] = {"S_global", packed ? arrow_global_size(s) : ng,
                      packed ? R_VECTOR : ng},
        [S_ELIM] = {"S_elim", elim, R_VECTOR},
        [PATTERN] = {"pattern", 0, R_VECTOR},
        [D_INV] = {"d_inv", arrow_leaf_size(s), R_VECTOR},
        [Q] = {"q", arrow_cross_size(s), R_VECTOR},
        [S_LEAF] = {"s_leaf", arrow_leaf_size(s), R_VECTOR},
        [SQ_GLOBAL] = {"Sq_global", packed ? 0 : ng, packed ? 0 : ng},
        [SQ_LEAF] = {"sq_leaf", arrow_leaf_size(s), R_VECTOR},
        [J] = {"J", dim, (size_t) m->n_stat},
        [SS] = {"ss", (size_t) m->n_stat, R_VECTOR},
        [TRACE] = {"trace", q + 3, (size_t) trace_rows},
        [ELBO] = {"elbo", 1, R_VECTOR},
        [LR_OK] = {"lr_ok", 1, R_VECTOR},
        [V] = {"V", q, q},
        [C] = {"C", q, q},
        [SIGMA] = {"Sigma", q, q},
        [K] = {"K", q, q}};
    return r_list(f, N_FIELDS);
}

/* Joint blocks: q's own covariance is the same. */
SEXP r_vb_new(const struct lmm *m, int trace_rows)
{
    SEXP out = PROTECT(r_with_status(result_list(m, trace_rows)));
    SEXP res = VECTOR_ELT(out, 0);
    SET_VECTOR_ELT(res, PATTERN, r_pattern(&m->shape));
    if (m->shape.packed) SET_VECTOR_ELT(res, SQ_GLOBAL, VECTOR_ELT(res, S_GLOBAL));
    UNPROTECT(1);
    return out;
}

struct vb_state r_vb_view(SEXP result, const double *start, int q)
{
    SEXP out = VECTOR_ELT(result, 0);
    struct vb_state s = {.t = r_out(out, T),
                         .df = r_out(out, DF),
                         .m = r_out(out, MEAN),
                         .S_global = r_out(out, S_GLOBAL),
                         .S_elim = r_out(out, S_ELIM),
                         .d_inv = r_out(out, D_INV),
                         .q = r_out(out, Q),
                         .s_leaf = r_out(out, S_LEAF),
                         .Sq_global = r_out(out, SQ_GLOBAL),
                         .sq_leaf = r_out(out, SQ_LEAF),
                         .J = r_out(out, J),
                         .ss = r_out(out, SS),
                         .trace = r_out(out, TRACE)};
    s.lr = (struct lr){
        q, r_out(out, V), r_out(out, C), r_out(out, SIGMA), r_out(out, K), NULL};
    if (q) memcpy(s.t, start, sizeof(double) * (size_t) q);
    return s;
}

void r_vb_close(SEXP out, const struct vb_state *s, enum core_status st,
                const struct core_info *info)
{
    r_out(VECTOR_ELT(out, 0), ELBO)[0] = s->elbo;
    r_out(VECTOR_ELT(out, 0), LR_OK)[0] = s->lr_ok;
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, info);
}

struct vb_control r_vb_control(SEXP control)
{
    struct vb_control c = {.tol = r_num(control, "tol", 0, DBL_MAX),
                           .max_iter = r_int(control, "max_iter", 1, INT_MAX - 1),
                           .newton = r_flag(control, "newton")};
    c.trace_rows = r_int(control, "trace_rows", 0, c.max_iter);
    return c;
}

/* core: see r_model(); start: E of the globals; control: list(tol, max_iter, trace_rows, newton);
 * progress: function of the sweeps done, or NULL. Returns list(result, c(status, iter, block)). */
SEXP C_fit_vb(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    const struct lmm m = r_model(core);
    const struct vb_control ctl = r_vb_control(control);
    int q = m.n_par;
    const double *from = r_as_finite(start, "start", q);
    SEXP out = PROTECT(r_vb_new(&m, ctl.trace_rows));
    struct vb_state s = r_vb_view(out, from, q);
    struct vb_work w;
    R_ARENA (a) {
        w = vb_work_carve(&m, &a);
        s.lr.work = arena_doubles(&a, (size_t) q * (size_t) q);
    }
    struct r_poll poll = {r_progress(progress), 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    r_vb_close(out, &s, vb_run(&m, &ctl, &s, &w, &h, &info), &info);
    UNPROTECT(1);
    return out;
}
