/* test_joint.c: the joint log density of a mixed model: its gradient against differences, and its
 * coordinates there and back. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "engine/joint.h"
#include "support.h"

/* W (positive definite or, at every third level, zero) and b of every level. */
static const double *some_W(const struct precision *pr)
{
    size_t rr = (size_t) (pr->r * pr->r);
    double *W = zeros(rr * (size_t) pr->n_levels);
    for (int l = 0; l < pr->n_levels; l++)
        if (l % 3) memcpy(W + rr * (size_t) l, random_spd(pr->r), sizeof(double) * rr);
    return W;
}

static struct joint joint_of(const struct glmm *g, const struct lmm_centre *c, bool units)
{
    struct arena a = {0};
    joint_carve(g, &a);
    a = arena_of(a.used);
    struct joint j = joint_carve(g, &a);
    struct joint_scale *scale = pool(sizeof(struct joint_scale) * (size_t) g->lmm.n_prec);
    for (int k = 0; k < g->lmm.n_prec; k++) {
        const struct precision *pr = &g->lmm.prec[k];
        scale[k] = (struct joint_scale){NULL, NULL};
        if (units && pr->n_levels)
            scale[k] = (struct joint_scale){some_W(pr),
                                            normals((size_t) (pr->r * pr->n_levels))};
    }
    j.centre = c;
    j.scale = scale;
    joint_prepare(&j);
    return j;
}

static void check_slope(struct joint *j)
{
    size_t d = joint_dim(j->g);
    double *x = normals(d), *g = nans(d), h = 1e-5;
    for (size_t i = 0; i < d; i++) x[i] *= 0.5;
    double f = joint_log_density(j, x, g);
    CHECK(isfinite(f));
    CHECK_NEAR(joint_log_density(j, x, NULL), f, 1e-14);
    for (size_t i = 0; i < d; i++) {
        double at = x[i];
        x[i] = at + h;
        double up = joint_log_density(j, x, NULL);
        x[i] = at - h;
        double down = joint_log_density(j, x, NULL);
        x[i] = at;
        CHECK_NEAR(g[i], (up - down) / (2 * h), 2e-6);
    }
}

static void check_coordinates(struct joint *j)
{
    size_t d = joint_dim(j->g), dim = arrow_dim(&j->g->lmm.shape);
    double *x = normals(d), *theta = nans(dim), *t = nans(d - dim), *back = copy(d, x);
    CHECK(joint_theta(j, x, theta, t));
    memcpy(back, theta, sizeof(double) * dim);
    CHECK(joint_whiten(j, back));
    for (size_t i = 0; i < d; i++) CHECK_NEAR(back[i], x[i], 1e-9);
    x[d - 1] = 301;
    CHECK(joint_log_density(j, x, NULL) == -INFINITY);
    x[d - 1] = NAN;
    CHECK(joint_log_density(j, x, NULL) == -INFINITY);
}

void test_joint(void)
{
    for (int k = 0; k < 4; k++) {
        struct sim s = k == 0   ? sim_regression()
                       : k == 1 ? sim_intercept(60, 7, 1)
                                : sim_general(k == 3);
        struct glmm g = {.lmm = s.m};
        size_t dim = arrow_dim(&s.m.shape);
        struct lmm_centre c = {zeros(dim), s.m.h, s.m.yy};
        for (int units = 0; units < 2; units++) {
            struct joint j = joint_of(&g, &c, units);
            check_slope(&j);
            check_coordinates(&j);
        }
    }
}
