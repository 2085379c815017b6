/* vb_coupling.h: V and the coupling C = A + N of the Gaussian model, for lr.h. */
#ifndef MEANFIELD_VB_COUPLING_H
#define MEANFIELD_VB_COUPLING_H

#include "engine/vb_state.h"

/* V of the precisions and auxiliaries, and what couples them directly (N) into C. */
void vb_coupling_V(const struct lmm *m, struct vb_state *s);

/* V and C = A + N at the current q, and J. Needs q(theta). */
void vb_coupling(const struct lmm *m, struct vb_state *s, struct vb_work *w);

int vb_coupling_pairs(
    const struct lmm *m); /* ordered pairs of coefficients, over all terms */

#endif
