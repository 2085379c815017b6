/* glmm_clusters.c: see glmm_clusters.h. */
#include <string.h>
#include "engine/glmm_clusters.h"

struct glmm_clusters glmm_clusters_carve(const struct glmm *g, struct arena *a)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    size_t p = (size_t) g->lmm.p, leaves = (size_t) sh->n_leaf,
           columns = (size_t) sh->n_global;
    struct glmm_clusters c = {.n = 0};
    c.root = arena_ints(a, leaves);
    c.owner = arena_ints(a, columns);
    c.leaf_start = arena_ints(a, leaves + 1);
    c.leaf = arena_ints(a, leaves);
    c.col_start = arena_ints(a, leaves + 1);
    c.col = arena_ints(a, columns);
    c.h = arena_doubles(a, columns);
    c.Sc = arena_doubles(a, columns);
    c.beta = arena_doubles(a, g->n * p);
    return c;
}

static int root_of(int *root, int l)
{
    while (root[l] != l) l = root[l] = root[root[l]];
    return l;
}

/* Lists items 0 .. n - 1 by cluster, those of cluster < 0 left out. */
static void list_by(int n, const int *cluster, int n_cluster, int *start, int *list)
{
    memset(start, 0, sizeof(int) * ((size_t) n_cluster + 1));
    for (int k = 0; k < n; k++)
        if (cluster[k] >= 0) start[cluster[k] + 1]++;
    for (int c = 0; c < n_cluster; c++) start[c + 1] += start[c];
    for (int k = 0; k < n; k++)
        if (cluster[k] >= 0) list[start[cluster[k]]++] = k;
    for (int c = n_cluster; c > 0; c--) start[c] = start[c - 1];
    start[0] = 0;
}

void glmm_clusters_find(const struct glmm *g, struct glmm_clusters *c)
{
    const struct arrow_shape *sh = &g->lmm.shape;
    int p = g->lmm.p;
    for (int l = 0; l < sh->n_leaf; l++) c->root[l] = l;
    for (int k = 0; k < sh->n_global; k++) c->owner[k] = -1;
    for (int l = 0; l < sh->n_leaf; l++)
        for (int j = sh->ptr[l]; j < sh->ptr[l + 1]; j++) {
            int k = sh->idx[j];
            if (k < p) continue;
            if (c->owner[k] < 0) c->owner[k] = l;
            int a = root_of(c->root, l), b = root_of(c->root, c->owner[k]);
            c->root[a > b ? a : b] = a > b ? b : a;
        }
    c->n = 0; /* a root is the first of its leaves: number them as they come */
    for (int l = 0; l < sh->n_leaf; l++) {
        int root = root_of(c->root, l);
        c->leaf[l] = root == l ? c->n++ : c->leaf[root];
    }
    for (int k = 0; k < sh->n_global; k++)
        if (c->owner[k] >= 0) c->owner[k] = c->leaf[c->owner[k]];
    memcpy(c->root, c->leaf, sizeof(int) * (size_t) sh->n_leaf);
    list_by(sh->n_leaf, c->root, c->n, c->leaf_start, c->leaf);
    list_by(sh->n_global, c->owner, c->n, c->col_start, c->col);
}
