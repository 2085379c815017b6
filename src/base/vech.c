/* vech.c: see vech.h. */
#include "base/core.h"
#include "base/vech.h"

void vech_unpack(int r, const double *v, double *X)
{
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) AT(X, a, b, r) = AT(X, b, a, r) = v[vech_at(r, a, b)];
}

void vech_pack(int r, const double *X, double *v)
{
    for (int b = 0; b < r; b++)
        for (int a = b; a < r; a++) v[vech_at(r, a, b)] = AT(X, a, b, r);
}
