/* r_glmm.c: glue of the generalised model: rows, variational fit. */
#include <limits.h>
#include "engine/glmm_theta.h"
#include "engine/glmm_vb.h"
#include "glue/r_glmm.h"
#include "glue/r_vb.h"

/* ---- rows ---------------------------------------------------------------------------------- */

/* r x n covariates; NULL: an intercept. */
static const double *r_z(SEXP x, int r, size_t n)
{
    if (!r_is_null(x, "z")) return r_finite(x, "z", (R_xlen_t) n * r);
    if (r != 1) r_bad("z");
    return NULL;
}

/* Where the rows of each leaf start, and the number of all rows; without leaves a zero. */
static const size_t *r_start(SEXP rows, const struct glmm *g)
{
    int n_leaf = g->lmm.shape.n_leaf;
    const int *start = r_ints(rows, "start", (R_xlen_t) n_leaf + 1);
    size_t *out = (size_t *) R_alloc((size_t) n_leaf + 1, sizeof(size_t));
    for (int l = 0; l <= n_leaf; l++) {
        if (start[l] < (l ? start[l - 1] : 0)) r_bad("start");
        out[l] = (size_t) start[l];
    }
    if (out[0] != 0 || (n_leaf && out[n_leaf] != g->n)) r_bad("start");
    return out;
}

/* Does a row's level of f, at global column `col`, stand at `pos` in the list of its leaf, with all of
 * its columns? */
static bool is_listed(const struct arrow_shape *s, int leaf, const struct glmm_factor *f,
                      int col, int pos)
{
    int from = s->ptr[leaf], k = s->ptr[leaf + 1] - from, c = col - f->first;
    if (col < f->first || c / f->r >= f->n_levels || (f->r > 1 && c % f->r)) return false;
    if (pos < 0 || pos > k - f->r) return false;
    const int *at = s->idx + from + pos;
    return at[0] == col && at[f->r - 1] == col + f->r - 1;
}

/* x: list(col, pos, z, r, n_levels). The factor's columns start at `first`. */
static struct glmm_factor r_other(SEXP x, const struct glmm *g, int first)
{
    struct glmm_factor f = {.first = first, .r = r_int(x, "r", 1, VECH_MAX_R)};
    f.n_levels = r_int(x, "n_levels", 1, (g->lmm.shape.n_global - first) / f.r);
    f.col = r_ints(x, "col", (R_xlen_t) g->n);
    f.pos = r_ints(x, "pos", (R_xlen_t) g->n);
    f.z = r_z(x, f.r, g->n);
    for (int l = 0; l < g->lmm.shape.n_leaf; l++)
        for (size_t i = g->start[l]; i < g->start[l + 1]; i++)
            if (!is_listed(&g->lmm.shape, l, &f, f.col[i], f.pos[i])) r_bad("pos");
    return f;
}

/* The other factors fill the global block behind the fixed effects, one after the other. */
static void r_others(SEXP others, struct glmm *g)
{
    int first = g->lmm.p;
    g->n_other = r_as_list(others, "others", -1);
    if (g->n_other > GLMM_MAX_FACTORS || (g->n_other > 0 && !g->lmm.shape.n_leaf))
        Rf_error("internal error: %d grouping factors", g->n_other);
    for (int f = 0; f < g->n_other; f++) {
        g->other[f] = r_other(VECTOR_ELT(others, f), g, first);
        first += g->other[f].n_levels * g->other[f].r;
    }
    if (first != g->lmm.shape.n_global) r_bad("others");
}

/* Every leaf lists the fixed effects. */
static void need_fixed_effects(const struct lmm *m)
{
    const struct arrow_shape *s = &m->shape;
    for (int l = 0; m->p && l < s->n_leaf; l++)
        if (s->ptr[l + 1] - s->ptr[l] < m->p || s->idx[s->ptr[l] + m->p - 1] != m->p - 1)
            r_bad("idx");
}

/* Every precision of the global block stands where its factor does. */
static void need_factors(const struct glmm *g)
{
    for (int k = g->lmm.first_term; k < g->lmm.n_prec; k++) {
        const struct precision *pr = &g->lmm.prec[k];
        if (pr->leaf) continue;
        if (pr->factor > g->n_other) r_bad("prec");
        const struct glmm_factor *h = &g->other[pr->factor - 1];
        if (pr->block != h->first || pr->stride != h->r || pr->n_levels != h->n_levels)
            r_bad("prec");
    }
}

/* Responses that the likelihood can have. */
static void need_responses(const struct glmm *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!g->likelihood->possible(g->y[i], g->size[i])) r_bad("y");
}

static const struct likelihood *r_likelihood(SEXP core)
{
    const struct likelihood *L = likelihood_of(r_int(core, "family", 0, INT_MAX));
    if (!L) r_bad("family");
    return L;
}

/* core$rows: list(X (p x n), y, size, offset, start, z, others) in the order of the leaves: glmm_rows() in
 * R. */
struct glmm r_glmm(SEXP core)
{
    struct glmm g = {.likelihood = r_likelihood(core)};
    g.lmm = r_prior(core, g.likelihood->n_extra);
    const struct arrow_shape *s = &g.lmm.shape;
    if (g.lmm.first_term && g.lmm.prec[0].nu > 0) r_bad("prec");
    if (s->r > VECH_MAX_R) r_bad("r");
    need_fixed_effects(&g.lmm);
    r_order_global(&g.lmm);
    SEXP rows = r_elt(core, "rows"), X = r_elt(rows, "X");
    g.n = (size_t) r_columns(X, "X", g.lmm.p);
    if (g.n < 1) r_bad("X");
    R_xlen_t n = (R_xlen_t) g.n;
    g.lmm.n = (double) g.n;
    g.X = r_as_finite(X, "X", -1);
    g.y = r_finite(rows, "y", n);
    g.size = r_finite(rows, "size", n);
    g.offset = r_finite(rows, "offset", n);
    g.start = r_start(rows, &g);
    g.z = s->n_leaf ? r_z(rows, s->r, g.n) : NULL;
    need_responses(&g);
    r_others(r_elt(rows, "others"), &g);
    need_factors(&g);
    const struct likelihood_rows all = glmm_rows(&g);
    g.constant = g.likelihood->constant(&all);
    return g;
}

/* ---- variational fit ------------------------------------------------------------------------- */

/* As C_fit_vb(), for the generalised model; core as in r_glmm(). */
SEXP C_fit_glmm_vb(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    const struct glmm g = r_glmm(core);
    const struct lmm *m = &g.lmm;
    const struct vb_control ctl = r_vb_control(control);
    int q = m->n_par;
    const double *from = r_as_finite(start, "start", q);
    SEXP out = PROTECT(r_vb_new(m, ctl.trace_rows));
    struct glmm_state theta;
    struct glmm_work w;
    struct glmm_vb b;
    struct ascent_work moves;
    double *leaf_work, *lr_work;
    R_ARENA (a) {
        theta = glmm_state_carve(&g, &a);
        w = glmm_state_work(&g, &a);
        b = glmm_vb_carve(&g, &a);
        moves = ascent_work_carve(m, &a);
        leaf_work = arena_doubles(&a, glmm_theta_leaf_work(&g));
        lr_work = arena_doubles(&a, (size_t) q * (size_t) q);
    }
    struct vb_state s = r_vb_view(out, from, q);
    s.lr.work = lr_work;
    theta.m = s.m; /* the fit's arrays are the results */
    theta.S.global = s.Sq_global;
    theta.S.leaf = s.sq_leaf;
    struct r_poll poll = {r_progress(progress), 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    b.theta = &theta;
    b.w = &w;
    b.h = &h;
    enum core_status st = glmm_vb_run(&b, &ctl, &s, &moves, leaf_work, &info);
    r_vb_close(out, &s, st, &info);
    UNPROTECT(1);
    return out;
}
