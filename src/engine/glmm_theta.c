/* glmm_theta.c: see glmm_theta.h. */
#include <string.h>
#include "base/la.h"
#include "arrow/schur.h"
#include "engine/glmm_response.h"
#include "engine/glmm_theta.h"

/* glmm_response_factor() leaves out what one level's covariance does to another's. It is a few
 * tenths of a percent of the variance of an effect with four levels and falls with their number; up
 * to this many responses times rows the effects too are responded to one by one, exactly. */
static const double MAX_EXACT = 1e4;

bool glmm_theta_exact_effects(const struct glmm *g)
{
    double effects = (double) arrow_dim(&g->lmm.shape) - g->lmm.p;
    return effects * (double) g->n <= MAX_EXACT;
}

size_t glmm_theta_leaf_work(const struct glmm *g)
{
    const struct arrow_shape *s = &g->lmm.shape;
    size_t leaf = glmm_response_leaf_work(g), need = leaf > g->n ? leaf : g->n;
    size_t p = (size_t) g->lmm.p, ng = (size_t) s->n_global;
    size_t beta = 3 * p * p + 2 * p * ng,
           exact = glmm_theta_exact_effects(g) ? ng * ng : 0;
    if (exact > beta) beta = exact;
    return need > beta ? need : beta;
}

/* S += S_gb B S_bg with B = S_bb^-1 (Sigma - S_bb) S_bb^-1: the coefficients get covariance Sigma,
 * the rest keeps its distribution given them. */
static bool replace_beta_block(int p, int ng, const double *Sigma, double *S,
                               double *work)
{
    double *L = work, *U = L + p * p, *X = U + p * p, *Y = X + (size_t) p * (size_t) ng;
    for (int j = 0; j < p; j++)
        for (int i = 0; i < p; i++) {
            AT(L, i, j, p) = AT(S, i, j, ng);
            AT(U, i, j, p) = AT(Sigma, i, j, p) - AT(S, i, j, ng);
        }
    if (la_chol(p, L)) return false;
    for (int j = 0; j < ng; j++) { /* X <- S_bb^-1 S_bg, a column at a time */
        double *x = X + (size_t) j * (size_t) p;
        for (int i = 0; i < p; i++) x[i] = AT(S, i, j, ng);
        la_solve_l(p, L, x);
        la_solve_lt(p, L, x);
        la_matvec(p, U, x, Y + (size_t) j * (size_t) p);
    }
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++)
            AT(S, i, j, ng) +=
                la_dot(p, X + (size_t) i * (size_t) p, Y + (size_t) j * (size_t) p);
    return true;
}

/* X <- X', p x p. */
static void transpose(int p, double *X)
{
    for (int j = 0; j < p; j++)
        for (int i = 0; i < j; i++) {
            double x = AT(X, i, j, p);
            AT(X, i, j, p) = AT(X, j, i, p);
            AT(X, j, i, p) = x;
        }
}

/* X <- L X or L^-1 X, column by column. */
static void multiply_l(int p, const double *L, double *X)
{
    for (int j = 0; j < p; j++)
        for (int i = p; i-- > 0;) {
            double sum = 0;
            for (int k = 0; k <= i; k++) sum += AT(L, i, k, p) * AT(X, k, j, p);
            AT(X, i, j, p) = sum;
        }
}
static void solve_l(int p, const double *L, double *X)
{
    for (int j = 0; j < p; j++) la_solve_l(p, L, X + j * p);
}

/* out <- L^-1 X L^-T, or L X L', with L L' = S. L: p x p scratch. */
static bool scale_beta(int p, const double *S, const double *X, bool to_ratio, double *L,
                       double *out)
{
    memcpy(L, S, sizeof(double) * (size_t) p * (size_t) p);
    if (la_chol(p, L)) return false;
    memcpy(out, X, sizeof(double) * (size_t) p * (size_t) p);
    for (int side = 0; side < 2; side++) {
        if (to_ratio)
            solve_l(p, L, out);
        else
            multiply_l(p, L, out);
        transpose(p, out);
    }
    return true;
}

/* w->dm <- the response of m to a unit tilt of coordinate j. */
static bool tilt_coordinate(const struct glmm *g, const struct glmm_state *s,
                            struct glmm_work *w, size_t j, double tol)
{
    memset(w->g, 0, sizeof(double) * arrow_dim(&g->lmm.shape));
    w->g[j] = 1;
    return glmm_response(g, s, w, (struct glmm_tilt){.tol = tol});
}

/* The global block of the covariance, column by column. */
static bool exact_global(const struct glmm *g, const struct glmm_state *s,
                         struct glmm_work *w, double tol, double *S_global, double *Sigma)
{
    int ng = g->lmm.shape.n_global;
    for (int j = 0; j < ng; j++) {
        if (!tilt_coordinate(g, s, w, (size_t) j, tol)) return false;
        memcpy(Sigma + (size_t) j * (size_t) ng, w->dm, sizeof(double) * (size_t) ng);
    }
    for (int j = 0; j < ng; j++)
        for (int i = 0; i < ng; i++)
            AT(S_global, i, j, ng) = 0.5 * (AT(Sigma, i, j, ng) + AT(Sigma, j, i, ng));
    return true;
}

/* Every leaf's own block of the covariance; D^-1 takes the difference, or the leaf stays as it is
 * where that leaves nothing. */
static bool exact_leaves(const struct glmm *g, const struct glmm_state *s,
                         struct glmm_work *w, double tol, double *d_inv, double *s_leaf)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    int r = sh->r;
    double V[VECH_MAX_R * VECH_MAX_R], D[VECH_MAX_R * VECH_MAX_R];
    for (int l = 0; l < sh->n_leaf; l++) {
        size_t at = (size_t) sh->n_global + (size_t) l * (size_t) r;
        double *own = d_inv + (size_t) l * (size_t) (r * r),
               *all = s_leaf + (own - d_inv);
        for (int c = 0; c < r; c++) {
            if (!tilt_coordinate(g, s, w, at + (size_t) c, tol)) return false;
            memcpy(V + c * r, w->dm + at, sizeof(double) * (size_t) r);
        }
        for (int c = 0; c < r; c++)
            for (int d = 0; d < r; d++)
                AT(D, d, c, r) = AT(own, d, c, r) - AT(all, d, c, r) +
                                 0.5 * (AT(V, d, c, r) + AT(V, c, d, r));
        memcpy(V, D, sizeof(double) * (size_t) (r * r));
        if (la_chol(r, V)) continue;
        for (int i = 0; i < r * r; i++) {
            all[i] += D[i] - own[i];
            own[i] = D[i];
        }
    }
    return true;
}

/* Sigma (p x p) <- the coefficients' exact covariance. */
static bool exact_beta(const struct glmm *g, const struct glmm_state *s,
                       struct glmm_work *w, struct theta_response want, double *Sigma)
{
    int p = g->lmm.p;
    size_t dim = arrow_dim(&g->lmm.shape);
    for (int j = 0; j < p; j++) {
        if (!tilt_coordinate(g, s, w, (size_t) j, want.tol)) return false;
        memcpy(Sigma + j * p, w->dm, sizeof(double) * (size_t) p);
        if (!want.cols_m) continue;
        memcpy(want.cols_m + (size_t) j * dim, w->dm, sizeof(double) * dim);
        glmm_response_weights(g, s, w, want.cols_w + (size_t) j * g->n);
    }
    for (int j = 0; j < p; j++)
        for (int i = 0; i < j; i++)
            AT(Sigma, i, j, p) = AT(Sigma, j, i, p) =
                0.5 * (AT(Sigma, i, j, p) + AT(Sigma, j, i, p));
    return true;
}

bool glmm_theta_response(const struct glmm *g, const double *t,
                         const struct glmm_state *s, struct glmm_work *w,
                         struct theta_response want, double *S_global, double *d_inv,
                         double *q, double *s_leaf, double *leaf_work)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    struct core_info info;
    if (glmm_response_factor(g, t, s, &w->P, &w->F, leaf_work, &info)) return false;
    arrow_inverse(sh, &w->F, S_global, d_inv, q, s_leaf, w->scratch);
    if (want.exact == EXACT_NONE) return true;
    if (want.exact == EXACT_ALL) {
        if (!exact_global(g, s, w, want.tol, S_global, leaf_work)) return false;
    } else {
        int p = g->lmm.p, ng = sh->n_global;
        double *Sigma = leaf_work + 2 * p * p + 2 * (size_t) p * (size_t) ng;
        if (!exact_beta(g, s, w, want, Sigma)) return false;
        if (p && !replace_beta_block(p, ng, Sigma, S_global, leaf_work)) return false;
    }
    arrow_spread_leaf(sh, S_global, d_inv, q, s_leaf, w->scratch);
    return want.exact != EXACT_ALL || exact_leaves(g, s, w, want.tol, d_inv, s_leaf);
}

/* S (p x p) <- the coefficients' block of the inverse. */
static void beta_block(const struct glmm *g, const struct arrow *F, double *x, double *S)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = g->lmm.p;
    for (int j = 0; j < p; j++) {
        memset(x, 0, sizeof(double) * (size_t) sh->n_global);
        x[j] = 1;
        schur_solve_l(sh, F, x);
        schur_solve_lt(sh, F, x);
        memcpy(S + j * p, x, sizeof(double) * (size_t) p);
    }
}

/* A <- A^-1 */
static bool invert(int p, double *A)
{
    if (la_chol(p, A)) return false;
    la_inverse(p, A, A);
    return true;
}

/* The rest keeps its distribution given the coefficients when only their block of the precision
 * changes: by Sigma^-1 - S_bb^-1. */
bool glmm_theta_factor(const struct glmm *g, const double *t, const struct glmm_state *s,
                       struct glmm_work *w, struct theta_response want, struct arrow *F,
                       double *leaf_work)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    struct core_info info;
    int p = g->lmm.p;
    double *L = leaf_work, *S = L + p * p, *Sigma = S + p * p;
    if (glmm_response_factor(g, t, s, &w->P, F, leaf_work, &info)) return false;
    if (want.exact == EXACT_NONE || p == 0) return true;
    beta_block(g, F, w->scratch, S);
    if (want.exact == EXACT_RATIO) {
        if (!scale_beta(p, S, want.ratio, false, L, Sigma)) return false;
    } else if (!exact_beta(g, s, w, want, Sigma) ||
               !scale_beta(p, S, Sigma, true, L, want.ratio)) {
        return false;
    }
    if (!invert(p, S) || !invert(p, Sigma)) return false;
    for (int j = 0; j < p; j++)
        for (int i = j; i < p; i++)
            AT(w->P.global, i, j, sh->n_global) += AT(Sigma, i, j, p) - AT(S, i, j, p);
    return arrow_factor(sh, &w->P, F, &info) == CORE_OK;
}
