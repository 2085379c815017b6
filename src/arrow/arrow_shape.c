/* arrow_shape.c: see arrow_shape.h. */
#include "arrow/arrow_shape.h"

/* The place of `wanted` in the increasing list of n; it is there. */
static size_t find(const int *list, int n, int wanted)
{
    int low = 0;
    while (n > 1) {
        int half = n / 2;
        if (list[low + half] <= wanted) low += half;
        n -= half;
    }
    return (size_t) low;
}

size_t arrow_shape_packed_at(const struct arrow_shape *s, int i, int j)
{
    int a = s->place[i], b = s->place[j];
    if (a < 0 && b < 0) return (size_t) (-1 - a) + (size_t) (-1 - b) * (size_t) s->n_core;
    if (i == j) return arrow_shape_diagonal(s) + (size_t) a;
    int e = b < 0 || (a >= 0 && a < b) ? a : b, other = e == a ? j : i;
    const int *list = s->eidx + s->eptr[e];
    return arrow_shape_lists(s) + (size_t) s->eptr[e] +
           find(list, s->eptr[e + 1] - s->eptr[e], other);
}

void arrow_shape_add_pair(const struct arrow_shape *s, double *A, int k, const int *list,
                          const double *x, const double *y)
{
    for (int b = 0; b < k; b++) {
        double xb = x[b], yb = y[b];
        if (s->packed) {
            for (int a = b; a < k; a++)
                A[arrow_shape_packed_at(s, list[a], list[b])] += x[a] * yb + y[a] * xb;
            continue;
        }
        double *column = A + (size_t) list[b] * (size_t) s->n_global;
        for (int a = b; a < k; a++) column[list[a]] += x[a] * yb + y[a] * xb;
    }
}
