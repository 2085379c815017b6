/* logchol.c: see logchol.h. */
#include <math.h>
#include <string.h>
#include "base/core.h"
#include "base/la.h"
#include "base/logchol.h"
#include "base/vech.h"

enum { RR = VECH_MAX_R * VECH_MAX_R };

/* l <- coordinates of vech t; false when it is not positive definite. */
bool logchol_from_vech(int r, const double *t, double *l)
{
    double L[RR];
    vech_unpack(r, t, L);
    if (la_chol(r, L)) return false;
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            l[vech_at(r, a, b)] =
                a == b ? log(AT(L, a, a, r)) : AT(L, a, b, r) / AT(L, b, b, r);
    return true;
}

void logchol_factor(int r, const double *l, double *L)
{
    memset(L, 0, sizeof(double) * (size_t) (r * r));
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double d = exp(l[vech_at(r, b, b)]);
            AT(L, a, b, r) = a == b ? d : l[vech_at(r, a, b)] * d;
        }
}

/* dt (vech) <- derivative of L L' along dl, with column b of L = exp(l_bb) (1, l_ab...):
 * dL_ab = L_ab dl_bb + [a > b] exp(l_bb) dl_ab. */
void logchol_push(int r, const double *l, const double *dl, double *dt)
{
    double L[RR], dL[RR] = {0};
    logchol_factor(r, l, L);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            AT(dL, a, b, r) = AT(L, a, b, r) * dl[vech_at(r, b, b)] +
                              (a > b ? AT(L, b, b, r) * dl[vech_at(r, a, b)] : 0);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double s = 0;
            for (int c = 0; c <= b; c++)
                s += AT(dL, a, c, r) * AT(L, b, c, r) + AT(L, a, c, r) * AT(dL, b, c, r);
            dt[vech_at(r, a, b)] = s;
        }
}

/* dl <- the direction whose logchol_push() is dt: with X = L^-1 dt L^-T, Phi(X) its lower
 * triangle with halved diagonal, dL = L Phi(X). */
void logchol_pull(int r, const double *l, const double *dt, double *dl)
{
    double L[RR], X[RR], D[RR];
    logchol_factor(r, l, L);
    vech_unpack(r, dt, X);
    for (int j = 0; j < r; j++) la_solve_l(r, L, X + (size_t) j * (size_t) r);
    for (int i = 0; i < r; i++) /* X <- X', then solve again: L^-1 dt L^-T, symmetric */
        for (int j = 0; j < r; j++) AT(D, j, i, r) = AT(X, i, j, r);
    for (int j = 0; j < r; j++) la_solve_l(r, L, D + (size_t) j * (size_t) r);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double s = 0; /* (L Phi)_ab */
            for (int c = b; c <= a; c++)
                s += AT(L, a, c, r) * AT(D, c, b, r) * (c == b ? 0.5 : 1);
            if (a == b)
                dl[vech_at(r, a, a)] = s / AT(L, a, a, r);
            else
                dl[vech_at(r, a, b)] =
                    (s - AT(L, a, b, r) * dl[vech_at(r, b, b)]) / AT(L, b, b, r);
        }
}
