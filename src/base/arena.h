/* arena.h: memory that the caller owns, handed out piece by piece. */
#ifndef MEANFIELD_ARENA_H
#define MEANFIELD_ARENA_H

#include <stddef.h>

/* A bump allocator. With base == NULL it only counts, so that one carve function both sizes
 * the workspace and hands it out. */
struct arena {
    char *base;
    size_t used;
};

static inline double *arena_doubles(struct arena *a, size_t n)
{
    double *p = a->base ? (double *) (a->base + a->used) : NULL;
    a->used += n * sizeof(double);
    return p;
}

static inline int *arena_ints(struct arena *a, size_t n)
{
    return (int *) arena_doubles(a, (n + 1) / 2); /* stays aligned for the next doubles */
}

/* A struct of doubles, pointers and ints; NULL while counting. */
static inline void *arena_struct(struct arena *a, size_t size)
{
    return arena_doubles(a, (size + sizeof(double) - 1) / sizeof(double));
}

#endif
