/* test_lr.c: the linear-response matrices against their defining equations. */
#include <math.h>
#include "check.h"
#include "engine/lr.h"
#include "support.h"

/* V diagonal with entries of very different sizes (units must not matter), or full;
 * V^-1 - C = V^-1/2 (well-conditioned) V^-1/2 when ok, not positive definite otherwise. */
static struct lr make(int q, bool diagonal, bool ok)
{
    struct arena count = {NULL, 0};
    lr_carve(q, &count);
    struct arena a = arena_of(count.used);
    struct lr w = lr_carve(q, &a);
    CHECK(a.used == count.used);
    double *corr = random_spd(q), *R = random_spd(q), *inv = nans((size_t) (q * q));
    for (int j = 0; j < q; j++)
        for (int i = 0; i < q; i++) {
            double sd = pow(10, i - 2) * pow(10, j - 2);
            if (diagonal) AT(corr, i, j, q) = i == j;
            AT(w.V, i, j, q) = AT(corr, i, j, q) * sd;
        }
    naive_inverse(q, w.V, inv);
    if (!ok) AT(R, q - 1, q - 1, q) = -0.1;
    for (int j = 0; j < q; j++)
        for (int i = 0; i < q; i++)
            AT(w.C, i, j, q) = AT(inv, i, j, q) - AT(R, i, j, q) / pow(10, i + j - 4);
    return w;
}

static double entry(int q, const double *A, const double *B, int i, int j) /* (A B)_ij */
{
    double s = 0;
    for (int k = 0; k < q; k++) s += AT(A, i, k, q) * AT(B, k, j, q);
    return s;
}

static void check_respond(int q, bool diagonal)
{
    struct lr w = make(q, diagonal, true);
    size_t qq = (size_t) (q * q);
    double *Vinv = nans(qq), *CS = nans(qq), *VK = nans(qq), *V = copy(qq, w.V);
    CHECK(lr_respond(&w));
    naive_inverse(q, w.V, Vinv);
    for (int j = 0; j < q; j++)
        for (int i = 0; i < q; i++) {
            AT(CS, i, j, q) = entry(q, w.C, w.Sigma, i, j);
            AT(VK, i, j, q) = entry(q, w.V, w.K, i, j);
        }
    for (int j = 0; j < q; j++)
        for (int i = 0; i < q; i++) {
            double s = pow(10, i - j); /* takes the units of row and column out again */
            double id = entry(q, Vinv, w.Sigma, i, j) - AT(CS, i, j, q);
            CHECK_NEAR(s * id, i == j, 1e-11); /* (V^-1 - C) Sigma = I */
            double k = AT(w.C, i, j, q) + entry(q, CS, w.C, i, j), u = pow(10, i + j - 4);
            CHECK_NEAR(u * AT(w.K, i, j, q), u * k, 1e-11);
            double sigma = AT(w.V, i, j, q) + entry(q, VK, w.V, i, j);
            CHECK_NEAR(AT(w.Sigma, i, j, q) / u, sigma / u, 1e-11);
            CHECK(AT(w.V, i, j, q) == AT(V, i, j, q)); /* an input */
        }
    double *res = normals((size_t) q), *step = nans((size_t) q);
    for (int i = 0; i < q; i++) res[i] *= pow(10, i - 2);
    lr_newton(&w, res, step);
    for (int i = 0; i < q; i++) {
        double s = 0; /* Sigma V^-1 res */
        for (int j = 0; j < q; j++) s += entry(q, w.Sigma, Vinv, i, j) * res[j];
        CHECK_NEAR(step[i] / pow(10, i - 2), s / pow(10, i - 2), 1e-11);
    }
}

void test_lr(void)
{
    for (int q = 0; q <= 4; q++) {
        check_respond(q, true);
        check_respond(q, false);
        if (q == 0) continue;
        struct lr bad = make(q, true, false);
        CHECK(!lr_respond(&bad));
        bad = make(q, true, true);
        AT(bad.V, 0, 0, q) = -1;
        CHECK(!lr_respond(&bad));
        bad = make(q, true, true);
        bad.C[0] = NAN;
        CHECK(!lr_respond(&bad));
    }
}
