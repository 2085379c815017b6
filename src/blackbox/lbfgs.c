/* lbfgs.c: see lbfgs.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "blackbox/lbfgs.h"

/* Farther than this from the start, in units of the start or of one, is infinity. */
static const double FAR = 1e10;

struct lbfgs lbfgs_carve(int d, const struct lbfgs_control *ctl, struct arena *a)
{
    size_t n = (size_t) d, path = (size_t) ctl->max_iter + 1;
    struct lbfgs x = {.ask = {.d = d}, .ctl = *ctl};
    x.z = arena_doubles(a, n * path);
    x.g = arena_doubles(a, n * path);
    x.lp = arena_doubles(a, path);
    x.s = arena_doubles(a, n * LBFGS_MEMORY);
    x.y = arena_doubles(a, n * LBFGS_MEMORY);
    x.r = arena_doubles(a, LBFGS_MEMORY);
    x.p = arena_doubles(a, n);
    x.trial = arena_doubles(a, n);
    x.low_z = arena_doubles(a, n);
    x.low_g = arena_doubles(a, n);
    x.scale = arena_doubles(a, LBFGS_MEMORY);
    return x;
}

static bool usable(const struct lbfgs *x, double lp, const double *g)
{
    bool ok = isfinite(lp);
    for (int j = 0; ok && j < x->ask.d; j++) ok = isfinite(g[j]);
    return ok;
}

static double largest(int d, const double *v)
{
    double top = 0;
    for (int j = 0; j < d; j++) top = fmax(top, fabs(v[j]));
    return top;
}

static double *column(const struct lbfgs *x, double *A, int j)
{
    return A + (size_t) j * (size_t) x->ask.d;
}

static void stop(struct lbfgs *x, enum lbfgs_end end)
{
    x->end = end;
    x->ask.n = 0;
}

/* p <- H g by the two loops; false where p does not go uphill. */
static bool remembered(struct lbfgs *x, const double *g)
{
    int d = x->ask.d;
    size_t n = (size_t) d;
    memcpy(x->p, g, sizeof(double) * n);
    for (int i = 0; i < x->pairs; i++) { /* newest first */
        int k = (x->newest - i + LBFGS_MEMORY) % LBFGS_MEMORY;
        const double *y = column(x, x->y, k);
        x->scale[k] = x->r[k] * la_dot(n, column(x, x->s, k), x->p);
        for (int j = 0; j < d; j++) x->p[j] -= x->scale[k] * y[j];
    }
    const double *y = column(x, x->y, x->newest);
    double unit = 1 / (x->r[x->newest] * la_dot(n, y, y));
    for (int j = 0; j < d; j++) x->p[j] *= unit;
    for (int i = x->pairs - 1; i >= 0; i--) {
        int k = (x->newest - i + LBFGS_MEMORY) % LBFGS_MEMORY;
        const double *s = column(x, x->s, k);
        double c = x->scale[k] - x->r[k] * la_dot(n, column(x, x->y, k), x->p);
        for (int j = 0; j < d; j++) x->p[j] += c * s[j];
    }
    x->slope = la_dot(n, g, x->p);
    return isfinite(x->slope) && x->slope > 0;
}

/* p <- the gradient at length one. */
static void steepest(struct lbfgs *x, const double *g)
{
    int d = x->ask.d;
    double top = largest(d, g), sum = 0;
    for (int j = 0; j < d; j++) sum += (g[j] / top) * (g[j] / top);
    double norm = top * sqrt(sum);
    for (int j = 0; j < d; j++) x->p[j] = g[j] / norm;
    x->slope = norm;
    x->pairs = 0;
}

static void ask_step(struct lbfgs *x)
{
    const double *z = column(x, x->z, x->n_path - 1);
    for (int j = 0; j < x->ask.d; j++) x->trial[j] = z[j] + x->step * x->p[j];
    x->ask.z = x->trial;
}

static void search(struct lbfgs *x)
{
    x->step = 1;
    x->low = 0;
    x->high = INFINITY;
    x->tries = 0;
    ask_step(x);
}

/* Where to go from the newest point of the path, or why not on. gain: of the last step. */
static void next_search(struct lbfgs *x, double gain)
{
    const double *g = column(x, x->g, x->n_path - 1), lp = x->lp[x->n_path - 1];
    if (!(largest(x->ask.d, g) > 0)) {
        stop(x, LBFGS_CONVERGED);
        return;
    }
    bool learnt = x->pairs > 0 && remembered(x, g);
    if (!learnt) steepest(x, g);
    bool idle = gain < x->ctl.tol && learnt && x->slope < 2 * x->ctl.tol;
    idle = idle || gain <= 1e-14 * fabs(lp);
    x->idle = idle ? x->idle + 1 : 0;
    if (x->idle > 1) {
        stop(x, LBFGS_CONVERGED);
    } else if (x->n_path > x->ctl.max_iter) {
        stop(x, LBFGS_MAXIT);
    } else {
        search(x);
    }
}

/* Remembers the step to z with gradient g, if the density bends down along it. */
static void remember(struct lbfgs *x, const double *z, const double *g)
{
    int d = x->ask.d, k = (x->newest + 1) % LBFGS_MEMORY;
    const double *z0 = column(x, x->z, x->n_path - 1),
                 *g0 = column(x, x->g, x->n_path - 1);
    double *s = column(x, x->s, k), *y = column(x, x->y, k);
    for (int j = 0; j < d; j++) {
        s[j] = z[j] - z0[j];
        y[j] = g0[j] - g[j];
    }
    double sy = la_dot((size_t) d, s, y), yy = la_dot((size_t) d, y, y);
    double ss = la_dot((size_t) d, s, s);
    if (!(sy > 1e-10 * sqrt(ss) * sqrt(yy)) || !isfinite(1 / sy)) return;
    x->r[k] = 1 / sy;
    x->newest = k;
    if (x->pairs < LBFGS_MEMORY) x->pairs++;
}

static bool far_out(const struct lbfgs *x, const double *z)
{
    double from = 1;
    for (int j = 0; j < x->ask.d; j++) from = fmax(from, fabs(x->z[j]));
    return largest(x->ask.d, z) > FAR * from;
}

static void accept(struct lbfgs *x, const double *z, const double *g, double lp)
{
    size_t bytes = sizeof(double) * (size_t) x->ask.d;
    double gain = lp - x->lp[x->n_path - 1];
    remember(x, z, g);
    memcpy(column(x, x->z, x->n_path), z, bytes);
    memcpy(column(x, x->g, x->n_path), g, bytes);
    x->lp[x->n_path++] = lp;
    if (far_out(x, z)) {
        stop(x, LBFGS_DIVERGED);
    } else {
        next_search(x, gain);
    }
}

/* No step meets both conditions: the best there was, else along the gradient, else the end. */
static void give_up(struct lbfgs *x)
{
    if (x->low > 0) {
        accept(x, x->low_z, x->low_g, x->low_lp);
    } else if (x->pairs > 0) {
        steepest(x, column(x, x->g, x->n_path - 1));
        search(x);
    } else {
        stop(x, LBFGS_STUCK);
    }
}

static void try_step(struct lbfgs *x, const double *g, double lp)
{
    size_t n = (size_t) x->ask.d;
    double lp0 = x->lp[x->n_path - 1];
    if (!usable(x, lp, g) || !(lp >= lp0 + 1e-4 * x->step * x->slope)) {
        x->high = x->step;
    } else if (la_dot(n, g, x->p) > .9 * x->slope) {
        x->low = x->step;
        x->low_lp = lp;
        memcpy(x->low_z, x->trial, sizeof(double) * n);
        memcpy(x->low_g, g, sizeof(double) * n);
    } else {
        accept(x, x->trial, g, lp);
        return;
    }
    if (++x->tries >= LBFGS_TRIES || (x->low > 0 && far_out(x, x->low_z))) {
        give_up(x);
        return;
    }
    x->step = isfinite(x->high) ? (x->low + x->high) / 2 : 2 * x->step;
    ask_step(x);
}

static enum core_status take(struct asker *a, const double *lp, const double *g)
{
    struct lbfgs *x = (struct lbfgs *) a->ctx;
    if (x->n_path > 0) {
        try_step(x, g, lp[0]);
    } else if (!usable(x, lp[0], g)) {
        stop(x, LBFGS_NO_START);
    } else {
        memcpy(x->g, g, sizeof(double) * (size_t) a->d);
        x->lp[0] = lp[0];
        x->n_path = 1;
        next_search(x, INFINITY);
    }
    return CORE_OK;
}

void lbfgs_start(struct lbfgs *x)
{
    x->n_path = x->pairs = x->newest = x->tries = x->idle = 0;
    x->end = LBFGS_RUNNING;
    x->ask.ctx = x;
    x->ask.n = 1;
    x->ask.gradient = true;
    x->ask.random = false;
    x->ask.z = x->z;
    x->ask.take = take;
}
