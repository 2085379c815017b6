/* elimination.c: see elimination.h. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "arrow/elimination.h"

/* Below this a dense block costs nothing; a sparse one must at least take this many columns. */
enum { SMALLEST_SPARSE = 24, FEWEST_ELIMINATED = 16 };

/* Numbers of the lists for each number in the leaves' lists: beyond, the rest stays dense. */
enum { MOST_FILL = 8 };

struct elimination elimination_carve(const struct arrow_shape *s, struct arena *a)
{
    size_t ng = (size_t) s->n_global, listed = s->n_leaf ? (size_t) s->ptr[s->n_leaf] : 0;
    size_t room = MOST_FILL * (listed + ng);
    if (room > ng * ng / 4) room = ng * ng / 4;
    struct elimination w = {.room = room < INT_MAX ? (int) room : INT_MAX};
    int **lists[] = {&w.order, &w.ptr,  &w.core,  &w.place, &w.mark,    &w.turn,
                     &w.count, &w.list, &w.child, &w.next,  &w.leaf_ptr};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = arena_ints(a, ng + 2);
    w.leaf = arena_ints(a, listed);
    w.idx = arena_ints(a, (size_t) w.room);
    return w;
}

/* The leaves that list each column from `first` on. */
static void leaves_of_columns(const struct arrow_shape *s, int first,
                              const struct elimination *w)
{
    int *ptr = w->leaf_ptr;
    memset(ptr, 0, sizeof(int) * ((size_t) s->n_global + 2));
    for (int i = 0; i < s->ptr[s->n_leaf]; i++)
        if (s->idx[i] >= first) ptr[s->idx[i] + 2]++;
    for (int j = 0; j < s->n_global; j++) ptr[j + 2] += ptr[j + 1];
    for (int l = 0; l < s->n_leaf; l++)
        for (int i = s->ptr[l]; i < s->ptr[l + 1]; i++)
            if (s->idx[i] >= first) w->leaf[ptr[s->idx[i] + 1]++] = l;
}

/* w->list <- the columns that some leaf lists together with j and that are not marked with `seen`,
 * which they are then; returns their number. */
static int meetings(const struct arrow_shape *s, const struct elimination *w, int j,
                    int seen)
{
    int n = 0;
    for (int i = w->leaf_ptr[j]; i < w->leaf_ptr[j + 1]; i++)
        for (int a = s->ptr[w->leaf[i]]; a < s->ptr[w->leaf[i] + 1]; a++) {
            if (w->mark[s->idx[a]] == seen) continue;
            w->mark[s->idx[a]] = seen;
            w->list[n++] = s->idx[a];
        }
    return n;
}

/* order <- the columns from `first` on by how many they meet, those that no leaf lists last (a counting
 * sort); turn: the place of each there. */
static void sort_by_degree(const struct arrow_shape *s, int first,
                           const struct elimination *w)
{
    int n = s->n_global, *degree = w->next;
    memset(w->mark, -1, sizeof(int) * (size_t) n);
    memset(w->count, 0, sizeof(int) * ((size_t) n + 2));
    for (int j = first; j < n; j++) {
        int met = meetings(s, w, j, j);
        degree[j] = met ? met : n;
        w->count[degree[j] + 1]++;
    }
    for (int d = 0; d <= n; d++) w->count[d + 1] += w->count[d];
    for (int j = first; j < n; j++) w->order[w->turn[j] = w->count[degree[j]]++] = j;
}

static int compare_ints(const void *x, const void *y)
{
    int a = *(const int *) x, b = *(const int *) y;
    return (a > b) - (a < b);
}

/* A level without rows has no list that would say which of its own coefficients meet. */
static bool is_listed(const struct elimination *w, int j)
{
    return w->leaf_ptr[j] < w->leaf_ptr[j + 1];
}

/* w->list <- the columns that column j, the `done`-th to go, touches then, increasing: those that it
 * meets, and those on the lists of the columns whose first of all was j. Returns their number. */
static int touched(const struct arrow_shape *s, int first, const struct elimination *w,
                   int done, int j)
{
    int all = meetings(s, w, j, done), n = 0;
    for (int e = w->child[j]; e >= 0; e = w->next[e])
        for (int i = w->ptr[e]; i < w->ptr[e + 1]; i++) {
            if (w->mark[w->idx[i]] == done) continue;
            w->mark[w->idx[i]] = done;
            w->list[all++] = w->idx[i];
        }
    for (int i = 0; i < all; i++) {
        int c = w->list[i];
        if (c < first || w->turn[c] > done) w->list[n++] = c;
    }
    qsort(w->list, (size_t) n, sizeof(int), compare_ints);
    return n;
}

/* Column e of the order becomes a child of the first on its list to go, if any does. */
static void adopt(int first, const struct elimination *w, int e)
{
    int parent = -1;
    for (int i = w->ptr[e]; i < w->ptr[e + 1]; i++) {
        int c = w->idx[i];
        if (c >= first && (parent < 0 || w->turn[c] < w->turn[parent])) parent = c;
    }
    if (parent < 0) return;
    w->next[e] = w->child[parent];
    w->child[parent] = e;
}

static void keep(struct arrow_shape *s, const struct elimination *w, int done)
{
    memset(w->place, -1, sizeof(int) * (size_t) s->n_global);
    for (int e = 0; e < done; e++) w->place[w->order[e]] = e;
    s->n_core = 0;
    for (int a = 0; a < s->n_global; a++) {
        if (w->place[a] >= 0) continue;
        w->place[a] = -1 - s->n_core;
        w->core[s->n_core++] = a;
    }
    s->n_elim = done;
    s->elim = w->order;
    s->eptr = w->ptr;
    s->eidx = w->idx;
    s->core = w->core;
    s->place = w->place;
}

void elimination_order(struct arrow_shape *s, int first, struct elimination w)
{
    int n = s->n_global, done = 0;
    s->n_elim = 0;
    if (s->full || n < SMALLEST_SPARSE || s->n_leaf == 0) return;
    leaves_of_columns(s, first, &w);
    sort_by_degree(s, first, &w);
    memset(w.mark, -1, sizeof(int) * (size_t) n);
    memset(w.child, -1, sizeof(int) * (size_t) n);
    w.ptr[0] = 0;
    for (; done < n - first && is_listed(&w, w.order[done]); done++) {
        int k = touched(s, first, &w, done, w.order[done]);
        if (k > (n - done - 1 - first) / 4 + first || w.ptr[done] + k > w.room) break;
        memcpy(w.idx + w.ptr[done], w.list, sizeof(int) * (size_t) k);
        w.ptr[done + 1] = w.ptr[done] + k;
        adopt(first, &w, done);
    }
    if (done >= FEWEST_ELIMINATED) keep(s, &w, done);
}
