/* glmm_response.c: see glmm_response.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/vech.h"
#include "engine/glmm_response.h"

/* Conjugate gradients stop here whatever the residual: with so much coupling left the point is
 * far from the optimum, and the line search has the last word. */
enum { CG_MAX = 60 };

/* The squared norm of a residual is guessed from the last one's share in the large eigenvalues,
 * which conjugate gradients take out first; with this allowance. */
static const double GUESS = 4;

/* w->row_sums of row i, whose S c_i is u: sum over a term's levels of vech(u_k u_k'). */
static void row_block_sums(const struct lmm *m, const double *u, double *out)
{
    memset(out, 0, sizeof(double) * (size_t) m->n_stat);
    for (int k = m->first_term; k < m->n_prec; k++)
        for (int l = 0; l < m->prec[k].n_levels; l++) {
            const double *at = u + lmm_coef(m, k, l);
            double *v = out + m->prec[k].at;
            for (int b = 0; b < m->prec[k].r; b++)
                for (int a = b; a < m->prec[k].r; a++) *v++ += at[a] * at[b];
        }
}

/* w->KK and w->row_sums from the factor of P, K_ij = (F^-1 c_i)'(F^-1 c_j). */
static void hold_pairs(const struct glmm *g, struct glmm_work *w)
{
    const struct arrow_shape *s = &g->lmm.shape;
    size_t n = g->n, dim = arrow_dim(s);
    memset(w->row, 0, sizeof(double) * n);
    for (size_t i = 0; i < n; i++) {
        double *h = w->half + i * dim;
        w->row[i] = 1;
        glmm_adjoint(g, w->row, h);
        w->row[i] = 0;
        arrow_forwardsolve(s, &w->F, h);
        memcpy(w->solved, h, sizeof(double) * dim);
        arrow_backsolve(s, &w->F, w->solved);
        row_block_sums(&g->lmm, w->solved, w->row_sums + i * (size_t) g->lmm.n_stat);
        for (size_t j = 0; j <= i; j++) {
            double K = la_dot((int) dim, h, w->half + j * dim);
            w->KK[i + j * n] = w->KK[j + i * n] = K * K;
        }
    }
}

enum core_status glmm_response_curvature(const struct glmm *g, const double *t,
                                         const struct glmm_state *s, struct glmm_work *w,
                                         struct core_info *info)
{
    if (w->KK) hold_pairs(g, w);
    for (size_t i = 0; i < g->n; i++) w->row[i] = -s->e.mm[i];
    glmm_gram(g, w->row, &w->P);
    glmm_add_prior(g, t, &w->P);
    return arrow_factor(&g->lmm.shape, &w->P, &w->A, info);
}

/* dS <- -S dP S for the dP in w; out <- its quadratic forms of the rows; sums, unless NULL, its
 * block sums. */
static void spread(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                   double *out, double *sums)
{
    arrow_inverse_push(&g->lmm.shape, &s->S, s->q, s->d_inv, &w->dP, &w->dS, &w->push);
    glmm_quad(g, &w->dS, out);
    const struct lmm *m = &g->lmm;
    for (int k = m->first_term; sums && k < m->n_prec; k++)
        lmm_block_sum(m, k, w->dS.global, w->dS.leaf, sums + m->prec[k].at);
}

/* out <- (K o K) eps, and the block sums of the change of S that it goes with. */
static void covary(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                   const double *eps, double *out, double *sums)
{
    if (w->KK) {
        size_t q = (size_t) g->lmm.n_stat;
        la_matvec((int) g->n, w->KK, eps, out);
        if (!sums) return;
        memset(sums, 0, sizeof(double) * q);
        for (size_t i = 0; i < g->n; i++)
            for (size_t k = 0; k < q; k++) sums[k] += eps[i] * w->row_sums[i * q + k];
        return;
    }
    for (size_t i = 0; i < g->n; i++) w->row[i] = -eps[i];
    glmm_gram(g, w->row, &w->dP);
    spread(g, s, w, out, sums);
}

/* dm <- A^-1 (gradient + C'(f_mv dv)), dmu <- C dm. gradient may be NULL. */
static void move_mean(const struct glmm *g, const struct glmm_state *s,
                      struct glmm_work *w, const double *gradient, const double *dv,
                      double *dm, double *dmu)
{
    size_t dim = arrow_dim(&g->lmm.shape);
    for (size_t i = 0; i < g->n; i++) w->row[i] = s->e.mv[i] * dv[i];
    glmm_adjoint(g, w->row, dm);
    if (gradient)
        for (size_t i = 0; i < dim; i++) dm[i] += gradient[i];
    arrow_solve(&g->lmm.shape, &w->A, dm);
    glmm_mul(g, dm, dmu);
}

/* out <- 2 f_mv dmu + 2 f_vv dv. */
static void curve(const struct glmm *g, const struct glmm_state *s, const double *dmu,
                  const double *dv, double *out)
{
    for (size_t i = 0; i < g->n; i++)
        out[i] = 2 * (s->e.mv[i] * dmu[i] + s->e.vv[i] * dv[i]);
}

/* a <- a + x b;  d <- r + x d */
static void combine(size_t n, double *a, double x, const double *b)
{
    for (size_t i = 0; i < n; i++) a[i] += x * b[i];
}
static void renew(size_t n, double *d, double x, const double *r)
{
    for (size_t i = 0; i < n; i++) d[i] = r[i] + x * d[i];
}

/* Conjugate gradients on eps, started at zero with residual w->r and its image w->Kr; out: the
 * solution's image (K o K) eps added to w->dv, its block sums to w->sums. */
static bool solve_eps(const struct glmm *g, const struct glmm_state *s,
                      struct glmm_work *w, double stop)
{
    size_t n = g->n, q = (size_t) g->lmm.n_stat;
    double rho = la_dot(n, w->r, w->Kr);
    memcpy(w->d, w->r, sizeof(double) * n);
    memcpy(w->Kd, w->Kr, sizeof(double) * n);
    memcpy(w->sums_d, w->sums_r, sizeof(double) * q);
    for (int it = 0; it < CG_MAX && rho > stop; it++) {
        move_mean(g, s, w, NULL, w->Kd, w->solved, w->dmu);
        curve(g, s, w->dmu, w->Kd, w->Ad);
        for (size_t i = 0; i < n; i++) w->Ad[i] = w->d[i] - w->Ad[i];
        double curvature = la_dot(n, w->Kd, w->Ad);
        if (!(curvature > 0)) return false;
        double step = rho / curvature, last = rho;
        combine(n, w->dv, step, w->Kd);
        combine(q, w->sums, step, w->sums_d);
        double largest = rho / la_dot(n, w->r, w->r); /* of K o K, as r knows it */
        combine(n, w->r, -step, w->Ad);
        if (GUESS * largest * la_dot(n, w->r, w->r) <= stop) {
            rho = GUESS * largest * la_dot(n, w->r, w->r);
            break; /* without a product that would only tell so */
        }
        covary(g, s, w, w->r, w->Kr, w->sums_r);
        rho = la_dot(n, w->r, w->Kr);
        renew(n, w->d, rho / last, w->r);
        renew(n, w->Kd, rho / last, w->Kr);
        renew(q, w->sums_d, rho / last, w->sums_r);
    }
    w->residual = sqrt(fmax(rho, 0));
    return isfinite(rho);
}

bool glmm_response(const struct glmm *g, const struct glmm_state *s, struct glmm_work *w,
                   struct glmm_tilt tilt)
{
    size_t n = g->n, dim = arrow_dim(&g->lmm.shape);
    memset(w->dv, 0, sizeof(double) * n);
    memset(w->sums, 0, sizeof(double) * (size_t) g->lmm.n_stat);
    if (tilt.eps0) covary(g, s, w, tilt.eps0, w->dv, w->sums);
    if (tilt.direction) spread(g, s, w, w->dv, w->sums);
    move_mean(g, s, w, w->g, w->dv, w->dm, w->dmu);
    double scale = la_dot(dim, w->g, w->dm);
    curve(g, s, w->dmu, w->dv, w->r);
    covary(g, s, w, w->r, w->Kr, w->sums_r);
    scale = fabs(scale) + la_dot(n, w->r, w->Kr);
    if (!isfinite(scale) || !solve_eps(g, s, w, tilt.tol * tilt.tol * scale))
        return false;
    w->residual /= sqrt(scale);
    move_mean(g, s, w, w->g, w->dv, w->dm, w->dmu);
    return true;
}

void glmm_response_weights(const struct glmm *g, const struct glmm_state *s,
                           const struct glmm_work *w, double *eps)
{
    curve(g, s, w->dmu, w->dv, eps);
}

void glmm_response_mean(const struct glmm *g, const struct glmm_state *s,
                        struct glmm_work *w)
{
    memset(w->dv, 0, sizeof(double) * g->n);
    move_mean(g, s, w, w->g, w->dv, w->dm, w->dmu);
    covary(g, s, w, w->rho, w->Kr, NULL);
}

void glmm_response_direction(const struct glmm *g, const struct glmm_state *s,
                             struct glmm_work *w, int k, int a, int b, double *unit)
{
    const struct lmm *m = &g->lmm;
    const struct precision *pr = &m->prec[k];
    const struct arrow_shape *sh = &m->shape;
    int at = pr->at + vech_at(pr->r, a, b);
    arrow_clear_global(sh, w->dP.global);
    if (sh->n_leaf) {
        memset(w->dP.cross, 0, sizeof(double) * arrow_cross_size(sh));
        memset(w->dP.leaf, 0, sizeof(double) * arrow_leaf_size(sh));
    }
    unit[at] = 1;
    lmm_add_term(m, k, unit, &w->dP);
    unit[at] = 0;
    memset(w->g, 0, sizeof(double) * arrow_dim(sh));
    for (int l = 0; l < pr->n_levels; l++) {
        size_t u = lmm_coef(m, k, l);
        w->g[u + (size_t) a] -= s->m[u + (size_t) b];
        if (a != b) w->g[u + (size_t) b] -= s->m[u + (size_t) a];
    }
}

/* ---- one leaf's own covariance --------------------------------------------------------- */

/* Leaf l's piece of the precision, less what runs through its own covariance W = D^-1. In the
 * coordinates vech W, with T_i = vech(z z') doubled off the diagonal,
 *     P_WW = D'(W^-1 (x) W^-1)D / 2 - sum f_vv T T',   P_W,m = -sum f_mv T c',
 * and the Schur complement takes P_mW P_WW^-1 P_Wm away. */
struct own_covariance {
    int leaf, r, k, m,
        width;         /* coefficients, listed columns, m = vech_size(r), k + r     */
    double *H, *T, *U; /* P_WW (m x m), m numbers, m rows of length width: P_Wm      */
};

static struct own_covariance own_covariance(const struct glmm *g, int l, double *work)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    struct own_covariance x = {
        .leaf = l, .r = sh->r, .k = sh->ptr[l + 1] - sh->ptr[l], .m = vech_size(sh->r)};
    x.width = x.k + x.r;
    x.H = work;
    x.T = x.H + (size_t) x.m * (size_t) x.m;
    x.U = x.T + x.m;
    return x;
}

size_t glmm_response_leaf_work(const struct glmm *g)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t need = 0, m = (size_t) vech_size(sh->r);
    for (int l = 0; l < sh->n_leaf; l++) {
        size_t width = (size_t) (sh->ptr[l + 1] - sh->ptr[l] + sh->r);
        if (m * width > need) need = m * width;
    }
    return sh->n_leaf ? need + m * m + m : 0;
}

/* H <- D'(W^-1 (x) W^-1)D / 2. False: W is not positive definite. */
static bool entropy_curvature(const struct own_covariance *x, const double *W)
{
    int r = x->r;
    double L[VECH_MAX_R * VECH_MAX_R];
    memcpy(L, W, sizeof(double) * (size_t) (r * r));
    if (la_chol(r, L)) return false;
    la_inverse(r, L, L); /* W^-1 */
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            for (int d = 0; d < r; d++)
                for (int c = d; c < r; c++) {
                    double e =
                        AT(L, a, c, r) * AT(L, b, d, r) + AT(L, a, d, r) * AT(L, b, c, r);
                    double f = a == b ? 0.5 : 1, h = c == d ? 0.5 : 1;
                    AT(x->H, vech_at(r, a, b), vech_at(r, c, d), x->m) = e * f * h;
                }
    return true;
}

/* H -= f_vv T T', U += f_mv T c' of row i. */
static void add_row(const struct glmm *g, const struct glmm_state *s,
                    struct own_covariance *x, size_t i)
{
    int r = x->r, p = g->lmm.p;
    const double *X = g->X + i * (size_t) p, *z = g->z ? g->z + i * (size_t) r : NULL;
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            x->T[vech_at(r, a, b)] = (a == b ? 1 : 2) * (z ? z[a] * z[b] : 1);
    for (int y = 0; y < x->m; y++) {
        double mv = s->e.mv[i] * x->T[y], *row = x->U + (size_t) y * (size_t) x->width;
        for (int x2 = 0; x2 <= y; x2++)
            AT(x->H, y, x2, x->m) -= s->e.vv[i] * x->T[y] * x->T[x2];
        for (int a = 0; a < p; a++) row[a] += mv * X[a];
        for (int f = 0; f < g->n_other; f++) {
            const struct glmm_factor *o = &g->other[f];
            for (int c = 0; c < o->r; c++)
                row[o->pos[i] + c] +=
                    mv * (o->z ? o->z[i * (size_t) o->r + (size_t) c] : 1.0);
        }
        for (int c = 0; c < r; c++) row[x->k + c] += mv * (z ? z[c] : 1);
    }
}

/* U <- H^-1/2 U. */
static bool whiten_rows(struct own_covariance *x)
{
    size_t width = (size_t) x->width;
    if (la_chol(x->m, x->H)) return false;
    for (size_t j = 0; j < width; j++) {
        for (int y = 0; y < x->m; y++) x->T[y] = x->U[(size_t) y * width + j];
        la_solve_l(x->m, x->H, x->T);
        for (int y = 0; y < x->m; y++) x->U[(size_t) y * width + j] = x->T[y];
    }
    return true;
}

/* P -= U'U, where the leaf's columns stand. */
static void subtract_rows(const struct arrow_shape *sh, const struct own_covariance *x,
                          struct arrow *P)
{
    int r = x->r, k = x->k;
    const int *col = sh->idx + sh->ptr[x->leaf];
    double *B = P->cross + (size_t) sh->ptr[x->leaf] * (size_t) r;
    double *D = P->leaf + (size_t) x->leaf * (size_t) (r * r);
    for (int y = 0; y < x->m; y++) {
        const double *u = x->U + (size_t) y * (size_t) x->width;
        for (int b = 0; b < k; b++)
            for (int a = b; a < k; a++)
                AT(P->global, col[a], col[b], sh->n_global) -= u[a] * u[b];
        for (int c = 0; c < r; c++) {
            for (int a = 0; a < k; a++) AT(B, a, c, k) -= u[a] * u[k + c];
            for (int d = c; d < r; d++) AT(D, d, c, r) -= u[k + d] * u[k + c];
        }
    }
}

static bool add_leaf_response(const struct glmm *g, const struct glmm_state *s, int l,
                              double *work, struct arrow *P)
{
    struct own_covariance x = own_covariance(g, l, work);
    if (!entropy_curvature(&x, s->d_inv + (size_t) l * (size_t) (x.r * x.r)))
        return false;
    memset(x.U, 0, sizeof(double) * (size_t) x.m * (size_t) x.width);
    for (size_t i = g->start[l]; i < g->start[l + 1]; i++) add_row(g, s, &x, i);
    if (!whiten_rows(&x)) return false;
    subtract_rows(&g->lmm.shape, &x, P);
    return true;
}

enum core_status glmm_response_factor(const struct glmm *g, const double *t,
                                      const struct glmm_state *s, struct arrow *P,
                                      struct arrow *F, double *scratch,
                                      struct core_info *info)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    for (size_t i = 0; i < g->n; i++) scratch[i] = -s->e.mm[i];
    glmm_gram(g, scratch, P);
    glmm_add_prior(g, t, P);
    for (int l = 0; l < sh->n_leaf; l++)
        if (!add_leaf_response(g, s, l, scratch, P)) {
            info->block = l;
            return CORE_NOT_PD_LEAF;
        }
    return arrow_factor(sh, P, F, info);
}
