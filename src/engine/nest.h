/* nest.h: integration of any conditional fit over the variance parameters.
 *
 * A conditional fit answers, at unconstrained variance parameters psi (log precisions of scalar
 * terms, scale-free coordinates of precision matrices, logchol.h), with
 *
 *     f(psi) = log p(y | psi) + log p(psi) + log |d precisions / d psi|
 *
 * exactly (Gaussian family) or approximately (others); -INFINITY where it cannot. The integrator
 * knows nothing else about the model. It finds the mode, takes axes from the Hessian there,
 *
 *     psi = mode + L z,    L L' = (-f'')^-1,
 *
 * and sums f over the lattice z = h Z^d, grown from the mode while f is less than `drop` below it:
 * the trapezoid rule, whose error falls like exp(-2 pi^2 / h^2) for a normal posterior. Every
 * second point along one axis is a lattice of its own; what the sums change from there to the
 * whole lattice tells the error. */
#ifndef MEANFIELD_NEST_H
#define MEANFIELD_NEST_H

#include "base/core.h"
#include "engine/target.h"

enum {
    NEST_MAX_D = 128,
    LATTICE_MAX_D = 6, /* of conditional fits; LATTICE_ROOM_D: of any density       */
    LATTICE_ROOM_D = 8,
    LATTICE_MAX_INDEX = 32000,
    LATTICE_MAX_POINTS = 1000000
};

struct nest_work {
    double *z, *psi, *grad, *H, *step; /* d, d, d, d^2, d                              */
    double *root;                      /* d^2                                         */
    double *eigen;                     /* d values, then LAPACK's work                */
    int eigen_size;
};

struct nest_work nest_work_carve(int d, struct arena *a);

/* Newton's method with central differences in the coordinates psi = centre + L z, until they
 * vanish.
 * In: psi (d) a start, L (d x d) a scale. Out: psi the mode, L with L L' = (-f'')^-1 there = D R D
 * (a step changes the scale of a flat axis at most fourfold, and of a convex one not at all),
 *
 *     L = D R^1/2 Q,    Q = G_1 ... G_{d-1},    G_j a turn by pi / 2d of axes j and j + 1
 *
 * (with the signs that make Q's first row positive),
 *
 * R the correlations, R^1/2 symmetric: a smooth function of the Hessian, of whose rounding little
 * is seen. *peak = f(psi). CORE_NONFINITE when f is not finite at the start, CORE_MAXIT when the
 * mode was not reached: psi, L and *peak are the last found and still usable.
 * Cost: 1 + 2 d^2 evaluations a step, two steps at least. */
enum core_status nest_mode(const struct target *f, double *psi, double *L, double *peak,
                           struct nest_work *w, const struct core_hooks *h,
                           struct core_info *info);

/* The lattice: n points with integer coordinates `index` (d x n), their psi (d x n), f (n) and
 * the gradient of f in z (d x n; NULL: not wanted of all) by differences of neighbours. */
struct lattice {
    int capacity, n;
    int *index;
    double *psi, *log_density, *gradient;
};

struct lattice nest_lattice_carve(int d, int capacity, bool gradients, struct arena *a);

/* g (d) <- the gradient in z at point k, from the table that nest_lattice() left. */
void nest_lattice_gradient(int d, double step, const struct lattice *l, const int *table,
                           int k, double *g);

/* Grows the lattice from the mode, or from the l->n points that it has already (of the same mode, L
 * and step: an index, psi and log density each). CORE_FULL when more than `capacity` points are within `drop`
 * of the highest. table: nest_lattice_table(capacity) ints of scratch. */
enum core_status nest_lattice(const struct target *f, const double *mode, const double *L,
                              double step, double drop, struct lattice *l, int *table,
                              const struct core_hooks *h, struct core_info *info);
size_t nest_lattice_table(int capacity);

/* Quantile p of a mixture of n components with weights w: component i is centred at c[i] with
 * spread s[i], a normal distribution or, of a function on lattice points, the sinc kernel whose
 * sum reproduces a band-limited density. Newton's method on the distribution function, from the
 * quantile of the normal distribution with the same moments, kept in a bracket. */
enum nest_kernel { NEST_NORMAL, NEST_SINC };
double nest_quantile(enum nest_kernel kernel, int n, const double *w, const double *c,
                     const double *s, double p);

/* A mixture of many normals as one of at most NEST_CELLS: its components gathered on a grid of their
 * centres (a twentieth of the mixture's SD apart) and log spreads, each cell by its weight, mean and
 * variance (W, C, S: NEST_CELLS each). What it costs a quantile is of third order in the width of a
 * cell. Returns the number of cells, 0 where a spread is not positive. O(n). */
enum { NEST_CELLS = 256 * 32 };
int nest_gather(int n, const double *w, const double *c, const double *s, double *W,
                double *C, double *S);

#endif
