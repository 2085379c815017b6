/* lmm_iter.c: see lmm_iter.h. */
#include <string.h>
#include "engine/lmm_iter.h"

void lmm_iter_split(struct lmm_iter *x, int few)
{
    int R = 0, e = x->m->p;
    x->n_big = 0;
    for (int f = 0; f < x->n_factors; f++) {
        struct lmm_iter_factor *y = x->factor + f;
        y->big = f == 0 || (y->n >= few && x->n_big == f);
        y->at = f == 0 ? 0 : y->big ? R : e;
        if (y->big)
            x->n_big++;
        else
            e += y->n;
        if (y->big && f) R += y->n;
    }
    x->n_leaf = x->factor[0].n;
    x->n_R = R;
    x->n_e = e;
}

static double *edge_row(const struct lmm_iter *x, int f, int i, double *E_l, double *E_R)
{
    double *E = f ? E_R + (size_t) x->factor[f].at * (size_t) x->n_e : E_l;
    return E + (size_t) i * (size_t) x->n_e;
}

/* The table of a big factor a, or one of few levels, with b of few. */
static void table_edges(const struct lmm_iter *x, const struct lmm_iter_table *t,
                        double *E_l, double *E_R, double *ee)
{
    const struct lmm_iter_factor *a = x->factor + t->a, *b = x->factor + t->b;
    for (int i = 0; i < a->n; i++)
        for (int k = t->ptr[i]; k < t->ptr[i + 1]; k++) {
            int col = b->at + t->idx[k];
            if (a->big)
                edge_row(x, t->a, i, E_l, E_R)[col] = t->val[k];
            else
                AT(ee, a->at + i, col, x->n_e) = AT(ee, col, a->at + i, x->n_e) =
                    t->val[k];
        }
}

void lmm_iter_edges(const struct lmm_iter *x, double *E_l, double *E_R, double *ee)
{
    size_t n_e = (size_t) x->n_e, p = (size_t) x->m->p;
    memset(E_l, 0, sizeof(double) * n_e * (size_t) x->n_leaf);
    memset(E_R, 0, sizeof(double) * n_e * (size_t) x->n_R);
    memset(ee, 0, sizeof(double) * n_e * n_e);
    for (size_t j = 0; j < p; j++)
        for (size_t i = 0; i < p; i++) AT(ee, i, j, n_e) = AT(x->xx, i, j, p);
    for (int f = 0; f < x->n_factors; f++) {
        const struct lmm_iter_factor *y = x->factor + f;
        for (int i = 0; i < y->n; i++) {
            const double *xz = y->xz + (size_t) i * p;
            size_t at = (size_t) y->at + (size_t) i;
            if (y->big) {
                memcpy(edge_row(x, f, i, E_l, E_R), xz, sizeof(double) * p);
                continue;
            }
            for (size_t j = 0; j < p; j++)
                AT(ee, j, at, n_e) = AT(ee, at, j, n_e) = xz[j];
            AT(ee, at, at, n_e) = y->d[i];
        }
    }
    for (int k = 0; k < x->n_tables; k++)
        if (!x->factor[x->table[k].b].big) table_edges(x, x->table + k, E_l, E_R, ee);
}
