/* vech.h: the lower triangle of a symmetric matrix, stored column by column. */
#ifndef MEANFIELD_VECH_H
#define MEANFIELD_VECH_H

enum { VECH_MAX_R = 32 }; /* coefficients of one vector term */

static inline int vech_size(int r) { return r * (r + 1) / 2; }

/* Position of element (a, b), a >= b, in the lower triangle stored column by column. */
static inline int vech_at(int r, int a, int b) { return b * r - b * (b + 1) / 2 + a; }

/* X (r x r, both triangles) <-> vech. */
void vech_unpack(int r, const double *v, double *X);
void vech_pack(int r, const double *X, double *v);

#endif
