/* gmm_vb.h: the variational fit of a Gaussian mixture from given statistics, and starts. */
#ifndef MEANFIELD_GMM_VB_H
#define MEANFIELD_GMM_VB_H

#include "mixture/gmm_lr.h"

struct gmm_control {
    double tol;    /* Newton step, in posterior SDs, at which to stop           */
    double change; /* without Newton: largest change of a responsibility        */
    int max_iter;  /* passes over the rows                                      */
    int trace_rows;
    bool newton; /* false: stop at `change`, no linear response               */
};

struct gmm_fit {
    struct gmm_stats s; /* in: start; out: the optimum                            */
    struct gmm_factors f;
    double *r;              /* n x k                                                  */
    double *trace;          /* 3 x trace_rows: elbo, change of r, Newton step in SDs  */
    double elbo, decrement; /* the last Newton step in SDs; negative: none            */
    double step;            /* the one since the last record, for the trace           */
    bool factored;          /* is lr->P that of the present point?                    */
    int passes, rows;       /* of trace in use                                        */
    int not_pd;             /* 1-based coordinate where P failed at the end, or 0     */
};

struct gmm_fit_work {
    struct gmm_work w;
    struct gmm_stats s1, s2, s3; /* SQUAREM's points                                   */
    struct gmm_factors f1;
    double *delta;          /* n of gmm_lr                                        */
    double *m, *R, *offset; /* a Newton point: p x k, p x p x k, k                */
};

struct gmm_fit_work gmm_vb_work_carve(const struct gmm *g, struct arena *a);

/* Coordinate ascent, extrapolated by SQUAREM [Varadhan & Roland 2008] on the statistics and
 * guarded by the bound; near the optimum Newton steps with the linear-response matrix.
 * On CORE_OK lr->P is factored at the optimum. */
enum core_status gmm_vb_run(const struct gmm *g, const struct gmm_control *ctl,
                            struct gmm_fit *q, struct gmm_fit_work *w, struct gmm_lr *lr,
                            const struct core_hooks *h, struct core_info *info);

/* How far from quadratic the bound is along the direction in which linear response widens q
 * most: at one posterior SD on either side the gradient should be the distance itself.
 * slope[0..1]: gradient over distance at -1 and +1 SD (both 1 for a normal posterior);
 * direction (n): one SD along it. Needs gmm_lr_invert(); leaves q as it was. */
void gmm_vb_probe(const struct gmm *g, const struct gmm_fit *q, const struct gmm_lr *lr,
                  struct gmm_fit_work *w, double *slope, double *direction);

#endif
