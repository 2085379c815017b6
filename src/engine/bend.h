/* bend.h: coordinates of integration in which no variance has a long tail towards zero.
 *
 * A prior with density at sigma = 0 leaves that of u = log sigma falling no faster than e^u, and a
 * lattice in u goes on for as many units as the log density is followed down. In v, with
 *
 *     u = v - exp(c - v),    du / dv = 1 + exp(c - v),
 *
 * it falls like exp(-exp(-v)) [Takahasi & Mori 1974] and far above c nothing changes; the sum over a
 * lattice converges as before. The integrator works in psi = -2 u (log precisions), bent where a c
 * is given: psi_j = v_j where c_j is NaN. */
#ifndef MEANFIELD_BEND_H
#define MEANFIELD_BEND_H

#include "base/arena.h"
#include "engine/target.h"

/* psi <- psi(v), d each (may be the same); returns log |d psi / d v|. */
double bend_to_psi(int d, const double *c, const double *v, double *psi);

/* v <- v(psi), d each (may be the same): Newton's method, which climbs to the root from below. */
void bend_from_psi(int d, const double *c, const double *psi, double *v);

/* A density of psi as one of v. c NULL: as it is. */
struct bend {
    struct target f;
    const double *c; /* d */
    double *psi;     /* d x BEND_LOT */
};

enum { BEND_LOT = 32 };

struct bend bend_carve(struct target f, const double *c, struct arena *a);

/* b must outlive it. */
struct target bend_target(struct bend *b);

#endif
