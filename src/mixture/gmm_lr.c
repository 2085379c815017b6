/* gmm_lr.c: see gmm_lr.h. */
#include <math.h>
#include <string.h>
#include <Rmath.h>
#include "base/blas.h"
#include "base/la.h"
#include "base/vech.h"
#include "base/wishart.h"
#include "mixture/gmm_lr.h"

struct gmm_lr gmm_lr_carve(const struct gmm *g, struct arena *a)
{
    struct gmm_lr w = {.B = gmm_lr_size(g), .T = 1 + g->p + gmm_vech(g)};
    size_t B = (size_t) w.B, T = (size_t) w.T, p = (size_t) g->p, n = B * (size_t) g->k;
    w.n = (int) n;
    w.P = arena_doubles(a, n * n);
    w.scale = arena_doubles(a, n);
    w.rhs = arena_doubles(a, n);
    w.G = arena_doubles(a, T * T);
    w.panel = arena_doubles(a, GMM_ROWS * T);
    w.half = arena_doubles(a, B * T);
    w.block = arena_doubles(a, B * B);
    w.sq = arena_doubles(a, 3 * p * p);
    w.pair = arena_doubles(a, 3 * p);
    return w;
}

/* trigamma(x) - 1 / x. */
static double trigamma_excess(double x)
{
    if (x < 1e3) return trigamma(x) - 1 / x;
    double y = 1 / (x * x); /* [Abramowitz & Stegun 6.4.12] */
    return 0.5 * y + y / x * (1.0 / 6 - y * (1.0 / 30 - y / 42));
}

double gmm_lr_free_variance(int p, double df)
{
    double s = 0;
    for (int i = 1; i <= p; i++)
        s += trigamma_excess(0.5 * (df + 1 - i)) + 2.0 * (i - 1) / (df * (df + 1 - i));
    return s;
}

void gmm_lr_size_slope(const struct gmm *g, const struct gmm_factors *f, int k, double *Q,
                       double *work)
{
    size_t pp = (size_t) g->p * (size_t) g->p;
    const double *S = f->S + (size_t) k * pp, *L = f->L + (size_t) k * pp;
    if (g->coupled || g->flat_mean) {
        memset(Q, 0, sizeof(double) * pp);
        return;
    }
    la_matmul(g->p, S, L, work);
    la_matmul(g->p, work, S, Q);
    for (size_t i = 0; i < pp; i++) Q[i] = S[i] - f->c[k] * Q[i];
}

/* ---- P0 -------------------------------------------------------------------------------- */

/* block <- a D'(X x X) D in vech coordinates, added at (at, at) of a B x B block. */
static void add_vech_form(int p, double a, const double *X, double *block, int B, int at)
{
    for (int j = 0; j < p; j++)
        for (int i = j; i < p; i++)
            for (int l = 0; l < p; l++)
                for (int k = l; k < p; k++)
                    AT(block, at + vech_at(p, i, j), at + vech_at(p, k, l), B) +=
                        a * (i == j ? 1 : 2) * (k == l ? 1 : 2) / 2 *
                        (AT(X, i, k, p) * AT(X, j, l, p) +
                         AT(X, i, l, p) * AT(X, j, k, p));
}

/* tr(L S L S). */
static double trace_lsls(const struct gmm *g, const struct gmm_factors *f, int k,
                         double *work)
{
    size_t pp = (size_t) g->p * (size_t) g->p;
    double s = 0;
    la_matmul(g->p, f->L + (size_t) k * pp, f->S + (size_t) k * pp, work);
    for (int j = 0; j < g->p; j++)
        for (int i = 0; i < g->p; i++) s += AT(work, i, j, g->p) * AT(work, j, i, g->p);
    return s;
}

/* -E'' of component k's own coordinates into w->block, without E log pi. */
static void prior_block(const struct gmm *g, const struct gmm_stats *s,
                        const struct gmm_factors *f, int k, const struct gmm_lr *w)
{
    int p = g->p, B = w->B, scalars = p + gmm_vech(g);
    size_t pp = (size_t) p * (size_t) p;
    const double *m = f->m + (size_t) k * (size_t) p,
                 *xbar = s->mean + (size_t) k * (size_t) p;
    const double *L = f->L + (size_t) k * pp;
    memset(w->block, 0, sizeof(double) * (size_t) B * (size_t) B);
    for (int j = 0; j < p; j++)
        for (int i = 0; i < p; i++)
            AT(w->block, i, j, B) = f->c[k] * AT(L, i, j, p) + AT(g->P0, i, j, p);
    add_vech_form(p, 0.5 * f->df[k], f->Linv + (size_t) k * pp, w->block, B, p);
    add_vech_form(p, -0.5 * f->c[k] * f->c[k], f->S + (size_t) k * pp, w->block, B, p);
    for (int j = 0; j < p;
         j++) /* d^2 E / dm dL: the pull of the rows and of the prior on m_k */
        for (int i = j; i < p; i++) {
            double gi = s->N[k] * (xbar[i] - m[i]) + g->k0 * (g->m0[i] - m[i]);
            double gj = s->N[k] * (xbar[j] - m[j]) + g->k0 * (g->m0[j] - m[j]);
            int at = p + vech_at(p, i, j);
            AT(w->block, i, at, B) -= gj;
            if (i != j) AT(w->block, j, at, B) -= gi;
            AT(w->block, at, i, B) = AT(w->block, i, at, B);
            AT(w->block, at, j, B) = AT(w->block, j, at, B);
        }
    AT(w->block, scalars + GMM_FREE, scalars + GMM_FREE, B) =
        1 / gmm_lr_free_variance(p, f->df[k]);
    AT(w->block, scalars + GMM_SIZE, scalars + GMM_SIZE, B) =
        0.5 / trace_lsls(g, f, k, w->sq);
}

/* The inverse covariance of log pi under the Dirichlet is diag(d) + ratio d d' with
 * d_k = 1 / trigamma(alpha_k). */
static double weight_ratio(const struct gmm *g, const struct gmm_factors *f)
{
    double total = 0, sum = 0;
    if (g->k == 1) return 0;
    for (int k = 0; k < g->k; k++) {
        total += f->alpha[k];
        sum += 1 / trigamma(f->alpha[k]);
    }
    return trigamma(total) / (1 - trigamma(total) * sum);
}

static void add_weights(const struct gmm *g, const struct gmm_factors *f,
                        struct gmm_lr *w)
{
    int at = g->p + gmm_vech(g) + GMM_LOG_PI;
    double ratio = weight_ratio(g, f);
    for (int k = 0; k < g->k; k++)
        for (int l = 0; l < g->k; l++) {
            double dk = 1 / trigamma(f->alpha[k]), dl = 1 / trigamma(f->alpha[l]);
            AT(w->P, k * w->B + at, l * w->B + at, w->n) +=
                (k == l ? dk : 0) + dk * dl * ratio;
        }
}

static void add_prior(const struct gmm *g, const struct gmm_stats *s,
                      const struct gmm_factors *f, struct gmm_lr *w)
{
    memset(w->P, 0, sizeof(double) * (size_t) w->n * (size_t) w->n);
    for (int k = 0; k < g->k; k++) {
        prior_block(g, s, f, k, w);
        for (int j = 0; j < w->B; j++)
            memcpy(&AT(w->P, k * w->B, k * w->B + j, w->n), &AT(w->block, 0, j, w->B),
                   sizeof(double) * (size_t) w->B);
    }
    add_weights(g, f, w);
}

void gmm_lr_prior_multiply(const struct gmm *g, const struct gmm_stats *s,
                           const struct gmm_factors *f, const struct gmm_lr *w,
                           const double *x, double *out)
{
    size_t B = (size_t) w->B;
    int at = g->p + gmm_vech(g) + GMM_LOG_PI;
    double ratio = weight_ratio(g, f), sum = 0;
    for (int k = 0; k < g->k; k++) {
        prior_block(g, s, f, k, w);
        la_matvec(w->B, w->block, x + (size_t) k * B, out + (size_t) k * B);
        sum += AT(x, at, k, B) / trigamma(f->alpha[k]);
    }
    for (int k = 0; k < g->k; k++)
        AT(out, at, k, B) = (AT(x, at, k, B) + ratio * sum) / trigamma(f->alpha[k]);
}

/* ---- A --------------------------------------------------------------------------------- */

/* sqrt(weight) t(x_n - centre). */
static void put_row(const struct gmm *g, int n, double weight, const double *centre,
                    double *t)
{
    int p = g->p;
    double root = sqrt(weight), *y = t + 1, *yy = t + 1 + p;
    t[0] = root;
    for (int i = 0; i < p; i++) y[i] = AT(g->X, n, i, g->n) - centre[i];
    for (int j = 0; j < p; j++) {
        double a = root * y[j];
        for (int i = j; i < p; i++) *yy++ = a * y[i];
    }
    for (int i = 0; i < p; i++) y[i] *= root;
}

/* w->G <- sum_n r_nk r_nl t_n t_n' over the rows that count. */
static bool pair_gram(const struct gmm *g, const double *r, int k, int l,
                      const double *centre, struct gmm_lr *w)
{
    int filled = 0;
    bool any = false;
    size_t T = (size_t) w->T;
    memset(w->G, 0, sizeof(double) * T * T);
    for (int n = 0; n < g->n; n++) {
        double weight = AT(r, n, k, g->n) * AT(r, n, l, g->n);
        if (weight <= GMM_SKIP) continue;
        put_row(g, n, weight, centre, w->panel + T * (size_t) filled++);
        if (filled < GMM_ROWS) continue;
        gmm_gram_add(w->T, filled, w->panel, w->G);
        filled = 0;
        any = true;
    }
    if (filled) {
        int padded = (filled + 7) / 8 * 8;
        memset(w->panel + T * (size_t) filled, 0,
               sizeof(double) * T * (size_t) (padded - filled));
        gmm_gram_add(w->T, padded, w->panel, w->G);
        any = true;
    }
    if (any) la_fill_upper(w->T, w->G);
    return any;
}

/* J_k for one pair: logit_k = a quadratic in y = x - centre whose coefficients move with the
 * coordinates; v = m_k - centre. */
struct response {
    int p, scalars;
    const double *L, *Linv;
    double *v; /* p: m_k - centre                                                */
    double *Q; /* p x p: S - c S L S                                             */
};

/* out (B) <- J_k' t for a vector t = (t_1, t_y, t_yy) with entries `stride` apart. */
static void apply_response(const struct response *k, const double *t, size_t stride,
                           double *out)
{
    int p = k->p;
    double one = t[0];
    const double *y = t + stride, *yy = t + stride * (size_t) (1 + p);
    for (int i = 0; i < p; i++) {
        out[i] = 0;
        for (int j = 0; j < p; j++)
            out[i] += AT(k->L, i, j, p) * (y[stride * (size_t) j] - k->v[j] * one);
    }
    double *o = out + p;
    for (int j = 0; j < p; j++)
        for (int i = j; i < p; i++, o++, yy += stride) {
            double dev =
                *yy - k->v[i] * y[stride * (size_t) j] -
                k->v[j] * y[stride * (size_t) i] +
                (k->v[i] * k->v[j] + AT(k->Q, i, j, p) - AT(k->Linv, i, j, p)) * one;
            *o = (i == j ? -0.5 : -1) * dev;
        }
    out[k->scalars + GMM_FREE] = 0.5 * one;
    out[k->scalars + GMM_LOG_PI] = one;
    out[k->scalars + GMM_SIZE] = -0.5 * one;
}

/* P at block (a, b) -= sign J_a' G J_b, from half = J_a' G (B x T). */
static void subtract_block(const struct response *b, const struct gmm_lr *w, double sign,
                           int row, int col)
{
    for (int i = 0; i < w->B; i++) {
        double *out = w->block + (size_t) i * (size_t) w->B;
        apply_response(b, w->half + i, (size_t) w->B, out);
        for (int j = 0; j < w->B; j++)
            AT(w->P, row * w->B + i, col * w->B + j, w->n) -= sign * out[j];
    }
}

static void subtract_pair(const struct gmm *g, const struct gmm_factors *f,
                          const double *r, int k, int l, struct gmm_lr *w)
{
    size_t p = (size_t) g->p, pp = p * p;
    int kl[2] = {k, l};
    struct response J[2];
    double *centre = w->pair;
    for (size_t i = 0; i < p; i++)
        centre[i] = 0.5 * (f->m[(size_t) k * p + i] + f->m[(size_t) l * p + i]);
    if (!pair_gram(g, r, k, l, centre, w)) return;
    for (int a = 0; a < 2; a++) {
        size_t c = (size_t) kl[a];
        J[a] = (struct response){.p = g->p,
                                 .scalars = g->p + gmm_vech(g),
                                 .L = f->L + c * pp,
                                 .Linv = f->Linv + c * pp,
                                 .v = w->pair + (size_t) (1 + a) * p,
                                 .Q = w->sq + (size_t) a * pp};
        for (size_t i = 0; i < p; i++) J[a].v[i] = f->m[c * p + i] - centre[i];
        gmm_lr_size_slope(g, f, kl[a], J[a].Q, w->sq + 2 * pp);
    }
    for (int a = 0; a < 2; a++) {
        for (int t = 0; t < w->T; t++)
            apply_response(&J[a], w->G + (size_t) t * (size_t) w->T, 1,
                           w->half + (size_t) t * (size_t) w->B);
        for (int b = 0; b < 2; b++)
            subtract_block(&J[b], w, a == b ? 1 : -1, kl[a], kl[b]);
    }
}

/* ---- solve ----------------------------------------------------------------------------- */

int gmm_lr_factor(const struct gmm *g, const struct gmm_stats *s,
                  const struct gmm_factors *f, const double *r, const double *delta,
                  struct gmm_lr *w)
{
    int n = w->n;
    add_prior(g, s, f, w);
    if (delta) la_matvec(n, w->P, delta, w->rhs);
    for (int k = 0; k < g->k; k++)
        for (int l = k + 1; l < g->k; l++) subtract_pair(g, f, r, k, l, w);
    for (int i = 0; i < n; i++) {
        double d = AT(w->P, i, i, n);
        if (!(d > 0) || !isfinite(d)) return i + 1;
        w->scale[i] = 1 / sqrt(d);
    }
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++) AT(w->P, i, j, n) *= w->scale[i] * w->scale[j];
    return la_chol(n, w->P);
}

double gmm_lr_newton(const struct gmm_lr *w, double *delta)
{
    for (int i = 0; i < w->n; i++) delta[i] = w->scale[i] * w->rhs[i];
    la_solve_l(w->n, w->P, delta);
    la_solve_lt(w->n, w->P, delta);
    for (int i = 0; i < w->n; i++) delta[i] *= w->scale[i];
    return la_dot(w->n, delta, w->rhs);
}

void gmm_lr_invert(struct gmm_lr *w)
{
    la_inverse(w->n, w->P, w->P);
    for (int j = 0; j < w->n; j++)
        for (int i = 0; i < w->n; i++) AT(w->P, i, j, w->n) *= w->scale[i] * w->scale[j];
}

/* ---- raw units ------------------------------------------------------------------------- */

/* out <- A X A' (p x p), work p x p. */
static void congruence(int p, const double *A, const double *X, double *out, double *work)
{
    double one = 1, zero = 0;
    la_matmul(p, A, X, work);
    F77_CALL(dgemm)
    ("N", "T", &p, &p, &p, &one, work, &p, A, &p, &zero, out, &p FCONE FCONE);
}

struct units {
    int p, q;
    const double *U, *A;
    double *sq; /* p x p x 3 */
};

/* Coordinates of a component (B of them) -> mu, vech Lambda, log|Lambda|, log pi in raw units:
 * linear. Both vectors have entries one after the other. */
static void to_raw(const struct units *u, const double *Linv, const double *in,
                   double *out)
{
    int p = u->p;
    size_t pp = (size_t) p * (size_t) p;
    double *X = u->sq, *Y = u->sq + pp, logdet = in[p + u->q + GMM_FREE];
    for (int i = 0; i < p; i++) {
        out[i] = 0;
        for (int j = 0; j < p; j++) out[i] += AT(u->U, j, i, p) * in[j];
    }
    vech_unpack(p, in + p, X);
    logdet += la_trace_product(p, Linv, X);
    congruence(p, u->A, X, Y, u->sq + 2 * pp);
    vech_pack(p, Y, out + p);
    out[p + u->q] = logdet;
    out[p + u->q + 1] = in[p + u->q + GMM_LOG_PI];
}

void gmm_lr_direction_raw(const struct gmm *g, const struct gmm_factors *f,
                          const struct gmm_lr *w, const double *U, const double *A,
                          const double *x, double *out)
{
    const struct units u = {g->p, gmm_vech(g), U, A, w->sq};
    size_t pp = (size_t) g->p * (size_t) g->p, BO = (size_t) (g->p + u.q + 2);
    for (int k = 0; k < g->k; k++)
        to_raw(&u, f->Linv + (size_t) k * pp, x + k * w->B, out + (size_t) k * BO);
}

void gmm_lr_mfvb_raw(const struct gmm *g, const struct gmm_factors *f,
                     const struct gmm_lr *w, const double *U, const double *A, double *V)
{
    const struct units units = {g->p, gmm_vech(g), U, A, w->sq}, *u = &units;
    int p = g->p, q = u->q, BO = p + q + 2, ld = BO * g->k;
    size_t pp = (size_t) p * (size_t) p;
    double *X = u->sq, *work = u->sq + 2 * pp, total = 0;
    memset(V, 0, sizeof(double) * (size_t) ld * (size_t) ld);
    for (int k = 0; k < g->k; k++) total += f->alpha[k];
    for (int k = 0; k < g->k; k++) {
        int at = k * BO, det = at + p + q;
        congruence(p, u->A, f->L + (size_t) k * pp, X, work);
        wishart_cov_vech(p, f->df[k], X, V, ld, at + p);
        for (int j = 0; j < p; j++)
            for (int i = j; i < p; i++) {
                int v = at + p + vech_at(p, i, j);
                AT(V, v, det, ld) = AT(V, det, v, ld) = 2 * AT(X, i, j, p) / f->df[k];
            }
        AT(V, det, det, ld) = gmm_lr_free_variance(p, f->df[k]) + 2 * p / f->df[k];
        for (int j = 0; j < p; j++) /* U' S U, U' = the transpose of U */
            for (int i = 0; i < p; i++) AT(work, i, j, p) = AT(u->U, j, i, p);
        memcpy(u->sq + pp, work, sizeof(double) * pp);
        congruence(p, u->sq + pp, f->S + (size_t) k * pp, X, work);
        for (int j = 0; j < p; j++)
            for (int i = 0; i < p; i++) AT(V, at + i, at + j, ld) = AT(X, i, j, p);
        if (g->k == 1) continue;
        for (int l = 0; l < g->k; l++)
            AT(V, det + 1, l * BO + p + q + 1, ld) =
                (k == l ? trigamma(f->alpha[k]) : 0) - trigamma(total);
    }
}

void gmm_lr_raw(const struct gmm *g, const struct gmm_factors *f, const struct gmm_lr *w,
                const double *U, const double *A, double *lrvb, double *work)
{
    const struct units u = {g->p, gmm_vech(g), U, A, w->sq};
    int BO = g->p + u.q + 2, N = BO * g->k;
    size_t pp = (size_t) g->p * (size_t) g->p, B = (size_t) w->B;
    for (int k = 0; k < g->k; k++) /* work (N x n) <- M Sigma */
        for (int j = 0; j < w->n; j++)
            to_raw(&u, f->Linv + (size_t) k * pp, &AT(w->P, k * w->B, j, w->n),
                   &AT(work, k * BO, j, N));
    for (int i = 0; i < N; i++) { /* lrvb <- work M', row by row through the panel */
        double *in = w->half, *out = w->half + B;
        for (int k = 0; k < g->k; k++) {
            for (int j = 0; j < w->B; j++) in[j] = AT(work, i, k * w->B + j, N);
            to_raw(&u, f->Linv + (size_t) k * pp, in, out);
            for (int j = 0; j < BO; j++) AT(lrvb, i, k * BO + j, N) = out[j];
        }
    }
    if (g->k > 1) return;
    for (int i = 0; i < N; i++) /* one component: its weight is one */
        AT(lrvb, i, N - 1, N) = AT(lrvb, N - 1, i, N) = 0;
}
