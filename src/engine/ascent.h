/* ascent.h: the contract of a variational fit over its globals, and the one ascent.
 *
 * A model supplies its q(theta) at given t = E[globals]: how it is found, the bound there, where the
 * updates would move t, and V and the coupling C of lr.h. The ascent alternates q(theta) with moves of
 * t, by coordinate ascent or by Newton's method with the linear response, and leaves the response of
 * the optimum behind. lmm (vb.h) and glmm (glmm_vb.h) make one. The mixture does not: a pass over its
 * rows gives bound and update at once, so that its accelerator (gmm_vb.h) keeps several iterates, and
 * its Newton steps are taken in all of its coordinates, not in globals with an eliminated theta. */
#ifndef MEANFIELD_ASCENT_H
#define MEANFIELD_ASCENT_H

#include "engine/vb_state.h"

struct vb_control {
    double tol; /* on the largest change of a log precision                         */
    int max_iter;
    int trace_rows; /* sweeps on record; later ones are not                           */
    bool newton;    /* false: plain coordinate ascent                                   */
};

enum vb_step { VB_STEP_CAVI = 0, VB_STEP_NEWTON = 1, VB_STEP_REJECTED = 2 };

struct ascent {
    void *ctx;
    enum core_status (*update)(void *ctx, struct vb_state *s, struct core_info *info);
    /* NULL: the bound is not known, and Newton's steps are trusted. */
    double (*elbo)(void *ctx, const struct vb_state *s);
    void (*targets)(void *ctx, const struct vb_state *s, double *target, double *cavi);
    bool (*coupling)(void *ctx,
                     struct vb_state *s); /* false: no response exists        */
    double
        settled; /* a Newton step after which less than this is left to go is the last: it is
                     * taken, not measured (0: never)                                 */
};

struct ascent_work ascent_work_carve(const struct lmm *m, struct arena *a);

/* Alternates q->update() with CAVI or Newton moves of t, to convergence; leaves the linear
 * response of the optimum in s->lr and s->J, but after a last step not measured, when q(theta) and
 * the response there are the caller's to find. */
enum core_status ascent_run(const struct lmm *m, const struct ascent *q,
                            const struct vb_control *ctl, struct vb_state *s,
                            struct ascent_work *w, const struct core_hooks *h,
                            struct core_info *info);

#endif
