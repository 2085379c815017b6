/* logchol.c: see logchol.h. */
#include <math.h>
#include <string.h>
#include "base/core.h"
#include "base/expfam.h"
#include "base/la.h"
#include "base/logchol.h"

static const double LOG_2 = 0.693147180559945309417232121458;
enum { RR = EXPFAM_MAX_R * EXPFAM_MAX_R };

/* l <- coordinates of vech t; false when it is not positive definite. */
bool logchol_from_vech(int r, const double *t, double *l)
{
    double L[RR];
    vech_unpack(r, t, L);
    if (la_chol(r, L)) return false;
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++)
            l[vech_at(r, a, b)] = a == b ? log(AT(L, a, a, r)) : AT(L, a, b, r) / AT(L, b, b, r);
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

static double log_cosh(double z)
{
    return fabs(z) + log1p(exp(-2 * fabs(z))) - LOG_2;
}

/* M <- C^-1 (lower triangle) for the Cholesky factor C of the correlation matrix:
 * C_ab = tanh x_ab prod_{c<b} sech x_ac, C_aa the same product to the end. */
static void inverse_correlation_root(int r, const double *x, double *M)
{
    for (int a = 0; a < r; a++) {
        double row[EXPFAM_MAX_R], left = 1;
        for (int b = 0; b < a; b++) {
            row[b] = left * tanh(x[vech_at(r, a, b)]);
            left /= cosh(x[vech_at(r, a, b)]);
        }
        for (int b = 0; b < a; b++) {
            double s = 0;
            for (int c = b; c < a; c++) s += row[c] * AT(M, c, b, r);
            AT(M, a, b, r) = -s / left;
        }
        AT(M, a, a, r) = 1 / left;
    }
}

/* X = D^-1 C^-T C^-1 D^-1, D = diag(SD): log |X| = sum x_aa + 2 sum log cosh x_ab, and with the
 * Jacobians of inversion, of (D, R) and of the partial correlations
 * log |dt / dx| = (r + 1) / 2 sum x_aa + sum_{a>b} (r + b + 1) log cosh x_ab   (b from 1). */
double scale_free_to_vech(int r, const double *x, double *t, double *log_jacobian)
{
    if (r == 1) {
        t[0] = exp(x[0]);
        *log_jacobian = x[0];
        return x[0];
    }
    double M[RR], trace = 0, spread = 0;
    *log_jacobian = 0;
    inverse_correlation_root(r, x, M);
    for (int b = 0; b < r; b++) {
        trace += x[vech_at(r, b, b)];
        for (int a = b; a < r; a++) {
            double s = 0;
            for (int c = a; c < r; c++) s += AT(M, c, a, r) * AT(M, c, b, r);
            t[vech_at(r, a, b)] = s * exp(0.5 * (x[vech_at(r, a, a)] + x[vech_at(r, b, b)]));
            if (a == b) continue;
            double l = log_cosh(x[vech_at(r, a, b)]);
            spread += 2 * l;
            *log_jacobian += (r + b + 2) * l;
        }
    }
    *log_jacobian += 0.5 * (r + 1) * trace;
    return trace + spread;
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
