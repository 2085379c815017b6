/* emulator_coord_lanes.h: the coordinates of emulator_coord.h for four points at once (see lanes.h). */
#ifndef MEANFIELD_EMULATOR_COORD_LANES_H
#define MEANFIELD_EMULATOR_COORD_LANES_H

#include "engine/emulator_coord.h"

/* Four points of the lattice's coordinates: number j of point l stands at 4 j + l, as do those of psi, x
 * and q; prior (4) <- emulator_coord_prior() + log |d psi / d v|, NaN where there are no coordinates. Only
 * where lanes_here(). */
void emulator_coord_lanes_at(const struct emulator_coord *c, const double *v, double *psi,
                             double *x, double *q, double *prior);

#endif
