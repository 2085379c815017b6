/* emulator_coord.c: see emulator_coord.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/matrix_log.h"
#include "base/scale_free.h"
#include "model/lmm_prior.h"
#include "engine/emulator_coord.h"

enum { R = MATRIX_LOG_MAX_R, RR = R * R };

static const double MAX_PSI = 300;

void emulator_coord_prepare(struct emulator_coord *c)
{
    const struct lmm *m = c->m;
    int n = 0;
    for (int k = m->first_term; k < m->n_prec; k++) { /* fewer levels first */
        int at = n++;
        for (; at > 0 && m->prec[c->order[at - 1]].n_levels > m->prec[k].n_levels; at--)
            c->order[at] = c->order[at - 1];
        c->order[at] = k;
    }
    for (int k = 0; k < m->n_prec; k++)
        for (int i = 0; i < vech_size(m->prec[k].r); i++) c->owner[m->prec[k].at + i] = k;
}

/* ---- coordinates --------------------------------------------------------------------- */

static double row_variance(const struct emulator_coord *c, const double *psi)
{
    return c->sampling.base + (c->m->first_term ? exp(-psi[0]) : 0);
}

static const double *spread_by(const struct emulator_coord *c, int k, int j)
{
    int size = sampling_size(c->m);
    return c->sampling.M + (size_t) j * (size_t) size + sampling_at(c->m, k);
}

static bool is_inner(const struct emulator_coord *c, int k, int j)
{
    return AT(c->sampling.inner, k, j, c->m->n_prec) != 0;
}

/* What the coordinates of a term are made of: B = I + U^-1 Sigma U^-T, K = U U'. */
struct standing {
    double U[RR], S[RR],
        B[RR]; /* S: root of Sigma                                      */
};

static bool stand(const struct emulator_coord *c, int k, const double *psi, double s2,
                  struct standing *w)
{
    const struct lmm *m = c->m;
    const struct precision *pr = &m->prec[k];
    const double *K0 = c->sampling.K0 + sampling_at(m, k);
    int r = pr->r;
    for (int i = 0; i < r * r; i++) w->U[i] = s2 * K0[i];
    for (int j = m->first_term; j < m->n_prec; j++) {
        if (!is_inner(c, k, j)) continue;
        const double *M = spread_by(c, k, j), v = exp(-psi[m->prec[j].at]);
        for (int i = 0; i < r * r; i++) w->U[i] += v * M[i];
    }
    if (la_chol(r, w->U)) return false;
    scale_free_root(r, psi + pr->at, w->S);
    double A[RR]; /* U^-1 S */
    memcpy(A, w->S, sizeof(double) * (size_t) (r * r));
    for (int j = 0; j < r; j++) la_solve_l(r, w->U, A + j * r);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double s = a == b;
            for (int i = 0; i < r; i++) s += AT(A, a, i, r) * AT(A, b, i, r);
            AT(w->B, a, b, r) = AT(w->B, b, a, r) = s;
        }
    return true;
}

static bool is_near(const struct emulator_coord *c, const double *psi)
{
    for (int i = 0; i < c->m->n_stat; i++)
        if (!(fabs(psi[i]) < MAX_PSI)) return false;
    return true;
}

/* x_0 and q_0 where there is a t_0. */
static void lead(const struct emulator_coord *c, double s2, double *x, double *q)
{
    if (!c->m->first_term) return;
    x[0] = log(s2) - c->e0;
    q[0] = exp(-x[0]);
}

bool emulator_coord_at(const struct emulator_coord *c, const double *psi, double *x,
                       double *q)
{
    const struct lmm *m = c->m;
    if (!is_near(c, psi)) return false;
    double s2 = row_variance(c, psi);
    lead(c, s2, x, q);
    for (int k = m->first_term; k < m->n_prec; k++) {
        struct standing w;
        int at = m->prec[k].at;
        if (!stand(c, k, psi, s2, &w) || !matrix_log(m->prec[k].r, w.B, x + at, q + at))
            return false;
    }
    return true;
}

/* ---- gradients -------------------------------------------------------------------------- */

/* G (full) <- the gradient in Sigma, -Lambda G_Lambda Lambda; own: what terms above add to it. */
static void gradient_in_sigma(const struct precision *pr, const double *psi,
                              const double *slope, double own, double *G)
{
    int r = pr->r;
    double t[RR], jacobian, L[RR], D[RR], LD[RR];
    scale_free_to_vech(r, psi + pr->at, t, &jacobian);
    vech_unpack(r, t, L);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            AT(D, a, b, r) = AT(D, b, a, r) =
                (a == b ? 1 : 0.5) * slope[pr->at + vech_at(r, a, b)];
    la_matmul(r, L, D, LD);
    la_matmul(r, LD, L, G);
    for (int i = 0; i < r * r; i++) G[i] = -G[i];
    G[0] += own;
}

/* With Sigma = U A U' at a fixed A, dU = U Phi(U^-1 dK U^-T), Phi the lower triangle with half the
 * diagonal: the change of the function along dK. W = A U'G U. */
static double along(int r, const double *U, const double *W, const double *dK)
{
    double M[RR], s = 0;
    memcpy(M, dK, sizeof(double) * (size_t) (r * r));
    for (int j = 0; j < r; j++) la_solve_l(r, U, M + j * r);
    la_right_solve_lt(r, r, U, M);
    for (int i = 0; i < r; i++) {
        s += AT(W, i, i, r) * AT(M, i, i, r);
        for (int j = 0; j < i; j++) s += 2 * AT(W, j, i, r) * AT(M, i, j, r);
    }
    return s;
}

/* dq / dx of a term, from its axes. */
static void slopes_of_q(const struct precision *pr, const double *V, const double *d,
                        int dim, double *Q)
{
    int r = pr->r;
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double E[RR] = {0}, out[RR];
            AT(E, a, b, r) = AT(E, b, a, r) = 1;
            matrix_log_push(r, V, d, -1, E, out);
            double *col =
                Q + (size_t) (pr->at + vech_at(r, a, b)) * (size_t) dim + pr->at;
            vech_pack(r, out, col);
        }
}

/* g, Q of term k at G, the gradient in its Sigma; W <- A U'G U. */
static bool pull_term(const struct emulator_coord *c, int k, const struct standing *w,
                      const double *G, double *g, double *Q, double *W)
{
    const struct precision *pr = &c->m->prec[k];
    int r = pr->r;
    double V[RR], d[R], GU[RR], GB[RR], GX[RR], A[RR];
    if (!matrix_log_axes(r, w->B, V, d)) return false;
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) {
            double s = 0;
            for (int l = j; l < r; l++) s += AT(G, i, l, r) * AT(w->U, l, j, r);
            AT(GU, i, j, r) = s;
        }
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) {
            double s = 0;
            for (int l = i; l < r; l++) s += AT(w->U, l, i, r) * AT(GU, l, j, r);
            AT(GB, i, j, r) = s;
        }
    matrix_log_push(r, V, d, 1, GB, GX);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            g[pr->at + vech_at(r, a, b)] = (a == b ? 1 : 2) * AT(GX, a, b, r);
    slopes_of_q(pr, V, d, c->m->n_stat, Q);
    memcpy(A, w->B, sizeof(double) * (size_t) (r * r));
    for (int i = 0; i < r; i++) AT(A, i, i, r) -= 1;
    la_matmul(r, A, GB, W);
    return true;
}

bool emulator_coord_pull(const struct emulator_coord *c, const double *psi,
                         const double *slope, double *x, double *q, double *g, double *Q)
{
    const struct lmm *m = c->m;
    int d = m->n_stat;
    double above[LMM_MAX_PREC] = {0}, in_s2 = 0; /* gradients in sigma_j^2 and in s2 */
    memset(Q, 0, sizeof(double) * (size_t) (d * d));
    if (!emulator_coord_at(c, psi, x, q)) return false;
    double s2 = row_variance(c, psi);
    for (int i = 0; i < m->n_prec - m->first_term; i++) {
        int k = c->order[i], r = m->prec[k].r;
        struct standing w;
        double G[RR], W[RR];
        if (!stand(c, k, psi, s2, &w)) return false;
        gradient_in_sigma(&m->prec[k], psi, slope, above[k], G);
        if (!pull_term(c, k, &w, G, g, Q, W)) return false;
        in_s2 += along(r, w.U, W, c->sampling.K0 + sampling_at(m, k));
        for (int j = m->first_term; j < m->n_prec; j++)
            if (is_inner(c, k, j)) above[j] += along(r, w.U, W, spread_by(c, k, j));
    }
    if (!m->first_term) return true;
    in_s2 -= slope[0] * exp(2 * psi[0]);
    g[0] = in_s2 * s2;
    Q[0] = -q[0];
    return true;
}

double emulator_coord_prior(const struct emulator_coord *c, const double *psi)
{
    const struct lmm *m = c->m;
    double sum = 0, t[RR];
    for (int k = 0; k < m->n_prec; k++) {
        double jacobian,
            logdet = scale_free_to_vech(m->prec[k].r, psi + m->prec[k].at, t, &jacobian);
        sum += lmm_prior_log_density(m, k, c->prior_const[k], t, logdet) + jacobian;
    }
    return sum;
}

/* ---- coordinates of the lattice -------------------------------------------------------- */

/* ---- trend -------------------------------------------------------------------------------- */

/* Calls of both functions below follow the same order: pairs of different terms, then, with a t_0, those
 * of pairs of terms. */
static bool differ(const struct emulator_coord *c, int i, int j)
{
    return c->owner[i] != c->owner[j];
}

static bool has_triple(const struct emulator_coord *c, int j)
{
    return c->triples && c->m->first_term && j > 0;
}

int emulator_coord_size(const struct emulator_coord *c)
{
    int d = c->m->n_stat, n = 1 + 2 * d;
    for (int i = 0; i < d; i++)
        for (int j = 0; j < i; j++)
            if (differ(c, i, j)) n += has_triple(c, j) ? 2 : 1;
    return n;
}

void emulator_coord_trend(const struct emulator_coord *c, const double *x,
                          const double *q, double *h)
{
    int d = c->m->n_stat;
    *h++ = 1;
    for (int i = 0; i < d; i++) *h++ = x[i];
    for (int i = 0; i < d; i++) *h++ = q[i];
    for (int i = 0; i < d; i++)
        for (int j = 0; j < i; j++) {
            if (!differ(c, i, j)) continue;
            *h++ = q[i] * q[j];
            if (has_triple(c, j)) *h++ = q[0] * q[i] * q[j];
        }
}

void emulator_coord_trend_slope(const struct emulator_coord *c, const double *q,
                                const double *Q, int k, double *h)
{
    int d = c->m->n_stat;
    const double *dq = Q + (size_t) k * (size_t) d;
    *h++ = 0;
    for (int i = 0; i < d; i++) *h++ = i == k;
    for (int i = 0; i < d; i++) *h++ = dq[i];
    for (int i = 0; i < d; i++)
        for (int j = 0; j < i; j++) {
            if (!differ(c, i, j)) continue;
            double slope = dq[i] * q[j] + q[i] * dq[j];
            *h++ = slope;
            if (has_triple(c, j)) *h++ = q[0] * slope + dq[0] * q[i] * q[j];
        }
}
