/* lr.c: the linear-response core (see lr.h for the formulas). */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "engine/lr.h"

struct lr lr_carve(int q, struct arena *a)
{
    size_t n = (size_t) q * (size_t) q;
    struct lr w = {.q = q};
    w.V = arena_doubles(a, n);
    w.C = arena_doubles(a, n);
    w.Sigma = arena_doubles(a, n);
    w.K = arena_doubles(a, n);
    w.work = arena_doubles(a, n);
    return w;
}

/* M_ij *= s_i s_j, with s_i = V_ii^(sign / 2). */
static void scale_by_sd(int q, const double *V, int sign, double *M)
{
    for (int j = 0; j < q; j++)
        for (int i = 0; i < q; i++)
            AT(M, i, j, q) *=
                pow(AT(V, i, i, q), 0.5 * sign) * pow(AT(V, j, j, q), 0.5 * sign);
}

bool lr_respond(struct lr *w)
{
    int q = w->q;
    size_t bytes = sizeof(double) * (size_t) q * (size_t) q;
    if (q == 0) return true;

    memcpy(w->Sigma, w->V, bytes); /* correlation matrix of q(t), then its inverse */
    scale_by_sd(q, w->V, -1, w->Sigma);
    if (la_chol(q, w->Sigma)) return false;
    la_inverse(q, w->Sigma, w->Sigma);
    memcpy(w->work, w->C, bytes);
    scale_by_sd(q, w->V, 1, w->work);
    for (size_t i = 0; i < (size_t) q * (size_t) q; i++) w->Sigma[i] -= w->work[i];
    if (la_chol(q, w->Sigma)) return false;
    la_inverse(q, w->Sigma, w->Sigma);
    scale_by_sd(q, w->V, 1, w->Sigma);

    la_matmul(q, w->C, w->Sigma, w->work); /* K = C + (C Sigma) C */
    la_matmul(q, w->work, w->C, w->K);
    for (size_t i = 0; i < (size_t) q * (size_t) q; i++) w->K[i] += w->C[i];
    return true;
}

void lr_newton(const struct lr *w, const double *resid, double *step)
{
    la_matvec(w->q, w->C, resid, w->work);
    la_matvec(w->q, w->Sigma, w->work, step);
    for (int i = 0; i < w->q; i++) step[i] += resid[i];
}
