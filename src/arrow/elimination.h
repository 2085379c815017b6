/* elimination.h: the order in which the columns of a sparse global block go (see schur.h). */
#ifndef MEANFIELD_ELIMINATION_H
#define MEANFIELD_ELIMINATION_H

#include "base/core.h"
#include "arrow/arrow_shape.h"

/* Finds the order of elimination: columns from `first` on, those that meet fewest others in the
 * leaves' lists first, for as long as the list of each, with fill, is shorter than a quarter of the
 * columns that remain. Few columns or long lists: the block stays dense (n_elim = 0). The shape
 * keeps views of w. Cost O(n_global^2 + sum of squared lengths of lists). */
struct elimination {
    char *met, *gone; /* n_global^2, n_global                        */
    int *degree, *order, *count, *ptr,
        *core;      /* n_global + 2 each                           */
    int *idx, room; /* lists: `room` of them at most               */
};
struct elimination elimination_carve(int n_global, struct arena *a);
void elimination_order(struct arrow_shape *s, int first, struct elimination w);

#endif
