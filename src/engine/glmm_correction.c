/* glmm_correction.c: see glmm_correction.h. */
#include <math.h>
#include "engine/glmm_correction.h"

/* With several factors c3 takes all pairs of rows of a cluster: multiplications above which it is
 * left out, and the correction is the gaps alone. Some 2,000 connected rows pass. */
static const double MAX_PAIRS = 5e7;

/* A correction that says nothing of how the series converges. */
static const double NOISE = 1e-6;

struct glmm_correction glmm_correction_carve(const struct glmm *g, double *S,
                                             struct arena *a)
{
    struct glmm_correction c = {.S = S};
    c.third = arena_doubles(a, glmm_third_work(g));
    c.levels = glmm_gap_levels(g, a);
    if (g->n_other) c.clusters = glmm_clusters_carve(g, a);
    return c;
}

void glmm_correction_prepare(const struct glmm *g, struct glmm_correction *c)
{
    if (!g->n_other) return;
    glmm_gap_list(g, &c->levels);
    glmm_clusters_find(g, &c->clusters);
    c->with_pairs = glmm_third_pairs_cost(g, &c->clusters) <= MAX_PAIRS;
}

double glmm_correction(const struct glmm_view *x, struct glmm_correction *c)
{
    const struct glmm *g = x->g;
    bool several = g->n_other > 0, bound = g->likelihood->bound;
    double sum = 0;
    c->c3 = c->c3_local = 0;
    for (int f = -1; f < g->n_other; f++)
        sum += glmm_gap(x, &c->levels, f, several, &c->c3_local);
    if (bound || g->lmm.shape.r > GLMM_GAP_MAX_R || (several && !c->with_pairs))
        return sum;
    c->c3 = several ? glmm_third_pairs(x, &c->clusters, c->S, c->third)
                    : glmm_third(x, c->third);
    double rest =
        c->c3 - c->c3_local; /* meaningless once it is large: the series diverges there */
    if (!several) return sum + rest / (1 + 4 * rest * rest);
    /* by how much the series overstates the part of it that is known; next to none is noise */
    double known = fmax(sum, 0) + NOISE, series = c->c3_local + NOISE;
    return sum + (known < series ? known / series : 1) * rest;
}
