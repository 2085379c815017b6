/* elimination.h: the order in which the columns of a sparse global block go (see schur.h). */
#ifndef MEANFIELD_ELIMINATION_H
#define MEANFIELD_ELIMINATION_H

#include "base/core.h"
#include "arrow/arrow_shape.h"

/* Finds the order of elimination: columns from `first` on, those that meet fewest others in the
 * leaves' lists first, for as long as the list of each, with fill, is shorter than a quarter of the
 * columns that remain. Few columns or long lists: the block stays dense (n_elim = 0). The shape
 * keeps views of w. Cost O(sum of squared lengths of the leaves' lists and of those that are found);
 * memory of the order of the leaves' lists. */
struct elimination {
    int *order, *ptr, *core, *place; /* n_global + 2 each: what the shape keeps     */
    int *idx, room;                  /* lists: `room` of them at most               */
    int *mark, *turn, *count, *list, *child, *next; /* n_global + 2 each            */
    int *leaf_ptr, *leaf; /* the leaves of every column: n_global + 2, ptr[n_leaf]  */
};
struct elimination elimination_carve(const struct arrow_shape *s, struct arena *a);
void elimination_order(struct arrow_shape *s, int first, struct elimination w);

#endif
