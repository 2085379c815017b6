/* scale_free.c: see scale_free.h. */
#include <math.h>
#include "base/core.h"
#include "base/scale_free.h"
#include "base/vech.h"

static const double LOG_2 = 0.693147180559945309417232121458;
enum { RR = VECH_MAX_R * VECH_MAX_R };

static double log_cosh(double z) { return fabs(z) + log1p(exp(-2 * fabs(z))) - LOG_2; }

/* Row a of the Cholesky factor C of the correlation matrix, a + 1 numbers:
 * C_ab = tanh x_ab prod_{c<b} sech x_ac, C_aa the same product to the end. */
static void root_row(int r, const double *x, int a, double *row)
{
    double left = 1;
    for (int b = 0; b < a; b++) {
        row[b] = left * tanh(x[vech_at(r, a, b)]);
        left /= cosh(x[vech_at(r, a, b)]);
    }
    row[a] = left;
}

void scale_free_root(int r, const double *x, double *root)
{
    for (int a = 0; a < r; a++) {
        double row[VECH_MAX_R], sd = exp(-0.5 * x[vech_at(r, a, a)]);
        root_row(r, x, a, row);
        for (int b = 0; b < r; b++) AT(root, a, b, r) = b <= a ? sd * row[b] : 0;
    }
}

/* w (a + 1) <- its derivative in x_ab: the columns after b shrink with what is left to them. */
static void root_row_slope(int r, const double *x, int a, int b, const double *row,
                           double *w)
{
    double left = 1, z = x[vech_at(r, a, b)];
    for (int c = 0; c < b; c++) {
        w[c] = 0;
        left /= cosh(x[vech_at(r, a, c)]);
    }
    w[b] = left / (cosh(z) * cosh(z));
    for (int c = b + 1; c <= a; c++) w[c] = -tanh(z) * row[c];
}

/* M <- C^-1 (lower triangle). */
static void inverse_correlation_root(int r, const double *x, double *M)
{
    for (int a = 0; a < r; a++) {
        double row[VECH_MAX_R];
        root_row(r, x, a, row);
        for (int b = 0; b < a; b++) {
            double s = 0;
            for (int c = b; c < a; c++) s += row[c] * AT(M, c, b, r);
            AT(M, a, b, r) = -s / row[a];
        }
        AT(M, a, a, r) = 1 / row[a];
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
            t[vech_at(r, a, b)] =
                s * exp(0.5 * (x[vech_at(r, a, a)] + x[vech_at(r, b, b)]));
            if (a == b) continue;
            double l = log_cosh(x[vech_at(r, a, b)]);
            spread += 2 * l;
            *log_jacobian += (r + b + 2) * l;
        }
    }
    *log_jacobian += 0.5 * (r + 1) * trace;
    return trace + spread;
}

static double half_exp(int r, const double *x, int a)
{
    return exp(0.5 * x[vech_at(r, a, a)]);
}

/* X = D^-1 S D^-1 with S = M'M, M = C^-1. Of the symmetric G with sum g_ab t_ab = <G, X>, scaled to
 * be S's: in x_aa its row a with that of S; in x_ab, where row a of C moves along w,
 * dS = -v S_a. - S_.a v' with v = M'w. */
void scale_free_pull(int r, const double *x, const double *g, double *out)
{
    if (r == 1) {
        out[0] += g[0] * exp(x[0]);
        return;
    }
    double M[RR], S[RR], G[RR];
    inverse_correlation_root(r, x, M);
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) {
            double s = 0;
            for (int c = a; c < r; c++) s += AT(M, c, a, r) * AT(M, c, b, r);
            AT(S, a, b, r) = AT(S, b, a, r) = s;
            AT(G, a, b, r) = AT(G, b, a, r) = (a == b ? 1 : 0.5) * g[vech_at(r, a, b)] *
                                              half_exp(r, x, a) * half_exp(r, x, b);
        }
    for (int a = 0; a < r; a++) {
        double GS[VECH_MAX_R], row[VECH_MAX_R],
            w[VECH_MAX_R]; /* GS: G times column a of S */
        for (int c = 0; c < r; c++) {
            GS[c] = 0;
            for (int d = 0; d < r; d++) GS[c] += AT(G, c, d, r) * AT(S, d, a, r);
        }
        out[vech_at(r, a, a)] += GS[a];
        root_row(r, x, a, row);
        for (int b = 0; b < a; b++) {
            double s = 0;
            root_row_slope(r, x, a, b, row, w);
            for (int d = b; d <= a; d++)
                for (int c = 0; c <= d; c++) s += AT(M, d, c, r) * w[d] * GS[c];
            out[vech_at(r, a, b)] -= 2 * s;
        }
    }
}

void scale_free_slope(int r, const double *x, double logdet, double jacobian, double *out)
{
    for (int b = 0; b < r; b++) {
        out[vech_at(r, b, b)] += logdet + 0.5 * (r + 1) * jacobian;
        for (int a = b + 1; a < r; a++)
            out[vech_at(r, a, b)] +=
                (2 * logdet + (r + b + 2) * jacobian) * tanh(x[vech_at(r, a, b)]);
    }
}
