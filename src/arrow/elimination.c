/* elimination.c: see elimination.h. */
#include <string.h>
#include "arrow/elimination.h"

/* Below this a dense block costs nothing; a sparse one must at least take this many columns. */
enum { SMALLEST_SPARSE = 24, FEWEST_ELIMINATED = 16 };

struct elimination elimination_carve(int n_global, struct arena *a)
{
    size_t ng = (size_t) n_global, words = ng * ng / sizeof(int) + 1;
    struct elimination w = {.room = (int) (ng * ng / 4)};
    w.met = (char *) arena_ints(a, words);
    w.gone = (char *) arena_ints(a, ng / sizeof(int) + 1);
    int **lists[] = {&w.degree, &w.order, &w.count, &w.ptr, &w.core};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = arena_ints(a, ng + 2);
    w.idx = arena_ints(a, (size_t) w.room);
    return w;
}

/* met <- which columns some leaf lists together; degree <- with how many. */
static void meetings(const struct arrow_shape *s, const struct elimination *w)
{
    size_t ng = (size_t) s->n_global;
    memset(w->met, 0, ng * ng);
    for (int l = 0; l < s->n_leaf; l++)
        for (int a = s->ptr[l]; a < s->ptr[l + 1]; a++)
            for (int b = s->ptr[l]; b < s->ptr[l + 1]; b++)
                w->met[(size_t) s->idx[a] + (size_t) s->idx[b] * ng] = 1;
    for (size_t b = 0; b < ng; b++) {
        w->degree[b] = 0;
        for (size_t a = 0; a < ng; a++) w->degree[b] += w->met[a + b * ng];
    }
}

/* order <- the columns from `first` on by degree (a counting sort). */
static void sort_by_degree(int first, int n, const struct elimination *w)
{
    memset(w->count, 0, sizeof(int) * ((size_t) n + 2));
    for (int j = first; j < n; j++) w->count[w->degree[j] + 1]++;
    for (int d = 0; d <= n; d++) w->count[d + 1] += w->count[d];
    for (int j = first; j < n; j++) w->order[w->count[w->degree[j]]++] = j;
}

void elimination_order(struct arrow_shape *s, int first, struct elimination w)
{
    size_t ng = (size_t) s->n_global;
    int n = s->n_global, used = 0, done = 0;
    s->n_elim = 0;
    if (s->full || n < SMALLEST_SPARSE) return;
    meetings(s, &w);
    sort_by_degree(first, n, &w);
    memset(w.gone, 0, ng);
    w.ptr[0] = 0;
    for (; done < n - first; done++) {
        const char *column = w.met + (size_t) w.order[done] * ng;
        int from = used, longest = (n - done - 1 - first) / 4 + first;
        if (used + longest > w.room) break;
        w.gone[w.order[done]] = 1;
        for (int a = 0; a < n && used - from <= longest; a++)
            if (column[a] && !w.gone[a]) w.idx[used++] = a;
        if (used - from > longest) {
            w.gone[w.order[done]] = 0;
            break;
        }
        for (int a = from; a < used; a++)
            for (int b = from; b < used; b++)
                w.met[(size_t) w.idx[a] + (size_t) w.idx[b] * ng] = 1;
        w.ptr[done + 1] = used;
    }
    if (done < FEWEST_ELIMINATED) return;
    s->n_core = 0;
    for (int a = 0; a < n; a++)
        if (!w.gone[a]) w.core[s->n_core++] = a;
    s->n_elim = done;
    s->elim = w.order;
    s->eptr = w.ptr;
    s->eidx = w.idx;
    s->core = w.core;
}
