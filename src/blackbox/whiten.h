/* whiten.h: the coordinates in which a sampler moves,
 *
 *     z = m + L e,   score in e:  s = L' g,   L lower triangular, or diagonal for large d
 *
 * and their learning from draws. With the mean and covariance of the target the posterior of e has
 * the unit matrix as its covariance: one step size fits all directions. */
#ifndef MEANFIELD_WHITEN_H
#define MEANFIELD_WHITEN_H

#include "base/core.h"

struct whiten {
    int d;
    bool dense;
    double *m; /* d                                                     */
    double *L; /* d x d, upper triangle zero; or d                      */
};

static inline size_t whiten_size(int d, bool dense)
{
    return dense ? (size_t) d * (size_t) d : (size_t) d;
}

/* z of e, s of g, e of z. Cost d^2, or d. */
void whiten_point(const struct whiten *w, const double *e, double *z);
void whiten_score(const struct whiten *w, const double *g, double *s);
void whiten_coordinates(const struct whiten *w, const double *z, double *e);

/* Mean and sums of squares of draws of e, by Welford's updates. */
struct whiten_moments {
    int n;
    double *mean; /* d                                                  */
    double *ss;   /* d x d, lower triangle; or d                        */
    double *work; /* 2 d                                                */
};
struct whiten_moments whiten_moments_carve(int d, bool dense, struct arena *a);
void whiten_moments_clear(const struct whiten *w, struct whiten_moments *q);
void whiten_moments_add(const struct whiten *w, struct whiten_moments *q,
                        const double *e);

/* m and L from the draws, as far as they differ from w by more than chance: of the logarithms of the
 * SDs and of the correlations, both zero where w is right, goes the share 1 - noise / seen in sums of
 * squares [as Ledoit & Wolf 2004 shrink], with half the draws counted since they follow each
 * other. Directions that did not move keep their scale. Overwrites q. Returns false, w as it was,
 * when the covariance has no factor. */
bool whiten_learn(struct whiten *w, struct whiten_moments *q);

#endif
