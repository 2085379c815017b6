/* gva.c: see gva.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "blackbox/gva.h"

/* The bound may fall by this much, relative to its size, by rounding. */
static const double ROUNDING = 1e-10;
/* Where a step worsens the criterion and lifts the bound by less, it went too far. */
static const double LIFT = .1;
/* A standard deviation that grows by this much says that the density has no integral. */
static const double WIDER = 1e8;

int gva_lwork(int d) { return 64 * (d + 2); }

static struct gva_state state_carve(size_t d, size_t n, struct arena *a)
{
    struct gva_state s = {.bound = -INFINITY, .criterion = INFINITY};
    s.m = arena_doubles(a, d);
    s.L = arena_doubles(a, d * d);
    s.lp = arena_doubles(a, n);
    s.g = arena_doubles(a, d * n);
    s.gbar = arena_doubles(a, d);
    s.V = arena_doubles(a, d * d);
    s.lambda = arena_doubles(a, d);
    return s;
}

struct gva gva_carve(int d, int n, const struct gva_control *ctl, struct arena *a)
{
    size_t sd = (size_t) d, sn = (size_t) n;
    struct gva x = {.ask = {.d = d}, .n = n, .ctl = *ctl, .lwork = gva_lwork(d)};
    x.now = state_carve(sd, sn, a);
    x.next = state_carve(sd, sn, a);
    x.scale = arena_doubles(a, sd);
    x.z = arena_doubles(a, sd * sn);
    x.S = arena_doubles(a, sd * sn);
    x.B = arena_doubles(a, sd * sd);
    x.work = arena_doubles(a, (size_t) x.lwork + sd);
    x.trace = arena_doubles(a, (size_t) ctl->max_iter * GVA_TRACE);
    return x;
}

static void stop(struct gva *x, enum gva_end end)
{
    x->end = end;
    x->ask.n = 0;
}

/* Asks for the points m + L e_i. */
static void ask_points(struct gva *x, const struct gva_state *q)
{
    int d = x->ask.d, n = x->n;
    double one = 1;
    memcpy(x->z, x->E, sizeof(double) * (size_t) d * (size_t) n);
    F77_CALL(dtrmm)
    ("L", "L", "N", "N", &d, &n, &one, q->L, &d, x->z, &d FCONE FCONE FCONE FCONE);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++) AT(x->z, j, i, d) += q->m[j];
    x->ask.z = x->z;
}

/* Copies the answers to q and says whether all are numbers. */
static bool answered(const struct gva *x, struct gva_state *q, const double *lp,
                     const double *g)
{
    size_t n = (size_t) x->n, nd = n * (size_t) x->ask.d;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(lp[i])) return false;
    for (size_t i = 0; i < nd; i++)
        if (!isfinite(g[i])) return false;
    memcpy(q->lp, lp, sizeof(double) * n);
    memcpy(q->g, g, sizeof(double) * nd);
    return true;
}

static void whitened_scores(const struct gva *x, const struct gva_state *q)
{
    int d = x->ask.d, n = x->n;
    double one = 1;
    memcpy(x->S, q->g, sizeof(double) * (size_t) d * (size_t) n);
    F77_CALL(dtrmm)
    ("L", "L", "T", "N", &d, &n, &one, q->L, &d, x->S, &d FCONE FCONE FCONE FCONE);
}

/* V <- A. */
static void curvature(const struct gva *x, struct gva_state *q)
{
    int d = x->ask.d, n = x->n;
    double by = -1.0 / n, zero = 0;
    F77_CALL(dgemm)
    ("N", "T", &d, &d, &n, &by, x->E, &d, x->S, &d, &zero, x->B, &d FCONE FCONE);
    for (int j = 0; j < d; j++)
        for (int i = 0; i < d; i++)
            AT(q->V, i, j, d) = i >= j ? AT(x->B, j, i, d) : AT(x->B, i, j, d);
}

/* Bound, gbar, A and criterion of q from its points; false where A has no eigenvalues. */
static bool judge(const struct gva *x, struct gva_state *q)
{
    int d = x->ask.d, n = x->n, info = 0, lwork = x->lwork;
    double sum = 0;
    for (int i = 0; i < n; i++) sum += q->lp[i];
    q->bound = sum / n + la_logdet(d, q->L) / 2;
    whitened_scores(x, q);
    for (int j = 0; j < d; j++) {
        q->gbar[j] = 0;
        for (int i = 0; i < n; i++) q->gbar[j] += AT(x->S, j, i, d) / n;
    }
    curvature(x, q);
    for (int j = 0; j < d * d; j++)
        if (!isfinite(q->V[j])) return false;
    F77_CALL(dsyev)
    ("V", "L", &d, q->V, &d, q->lambda, x->work, &lwork, &info FCONE FCONE);
    q->criterion = 0;
    for (int j = 0; j < d; j++)
        q->criterion = fmax(q->criterion, fmax(fabs(q->gbar[j]), fabs(q->lambda[j] - 1)));
    return info == 0 && isfinite(q->bound) && isfinite(q->criterion);
}

/* Eigenvalue j of W. */
static double weight(const struct gva *x, int j)
{
    return fmax(1 - x->rho + x->rho * x->now.lambda[j], 1 / GVA_CLIP);
}

/* next.m <- m + rho L W^-1 gbar, shortened. */
static void step_mean(struct gva *x)
{
    int d = x->ask.d, one = 1;
    double *step = x->next.m, *turned = x->B, by = 1, zero = 0;
    F77_CALL(dgemv)
    ("T", &d, &d, &by, x->now.V, &d, x->now.gbar, &one, &zero, turned, &one FCONE);
    for (int j = 0; j < d; j++) turned[j] *= x->rho / weight(x, j);
    F77_CALL(dgemv)
    ("N", &d, &d, &by, x->now.V, &d, turned, &one, &zero, step, &one FCONE);
    double length = sqrt(la_dot((size_t) d, step, step)), most = 2 * sqrt(d);
    if (length > most)
        for (int j = 0; j < d; j++) step[j] *= most / length;
    F77_CALL(dtrmv)("L", "N", "N", &d, x->now.L, &d, step, &one FCONE FCONE FCONE);
    for (int j = 0; j < d; j++) step[j] += x->now.m[j];
}

/* next.L <- the factor of L W^-1 L' = B B', B = L V w^-1/2 = next.L Q. */
static bool step_root(struct gva *x)
{
    int d = x->ask.d, info = 0;
    double one = 1, *B = x->B, *L = x->next.L;
    for (int j = 0; j < d; j++) {
        double root = sqrt(fmin(weight(x, j), GVA_CLIP));
        for (int i = 0; i < d; i++) AT(B, i, j, d) = AT(x->now.V, i, j, d) / root;
    }
    F77_CALL(dtrmm)
    ("L", "L", "N", "N", &d, &d, &one, x->now.L, &d, B, &d FCONE FCONE FCONE FCONE);
    F77_CALL(dgelqf)(&d, &d, B, &d, x->work + x->lwork, x->work, &x->lwork, &info);
    memset(L, 0, sizeof(double) * (size_t) d * (size_t) d);
    for (int j = 0; j < d; j++) {
        double sign = AT(B, j, j, d) < 0 ? -1 : 1;
        if (!(fabs(AT(B, j, j, d)) > 0)) return false;
        for (int i = j; i < d; i++) AT(L, i, j, d) = sign * AT(B, i, j, d);
    }
    return info == 0;
}

/* The step of length rho from `now`; shorter ones where that has no factor. */
static void propose(struct gva *x)
{
    for (; x->tries < GVA_HALVINGS; x->tries++, x->rho /= 2) {
        step_mean(x);
        if (step_root(x)) {
            ask_points(x, &x->next);
            return;
        }
    }
    stop(x, GVA_STUCK);
}

static bool better(const struct gva *x)
{
    double rise = x->next.bound - x->now.bound;
    return rise >= -ROUNDING * (1 + fabs(x->now.bound));
}

static bool too_wide(const struct gva *x)
{
    int d = x->ask.d;
    for (int i = 0; i < d; i++) {
        double v = 0;
        for (int j = 0; j <= i; j++) v += AT(x->now.L, i, j, d) * AT(x->now.L, i, j, d);
        if (sqrt(v) > WIDER * x->scale[i]) return true;
    }
    return false;
}

/* From `now`: the end, or the next step. */
static void go_on(struct gva *x)
{
    if (x->now.criterion < x->ctl.tol && (x->last || x->now.criterion < 1e-10)) {
        stop(x, GVA_CONVERGED);
    } else if (too_wide(x)) {
        stop(x, GVA_DIVERGED);
    } else if (x->iter >= x->ctl.max_iter) {
        stop(x, x->now.criterion < x->ctl.tol ? GVA_CONVERGED : GVA_MAXIT);
    } else {
        x->last = x->now.criterion < x->ctl.tol;
        if (x->last) x->rho = 1;
        x->tries = 0;
        propose(x);
    }
}

static void step_taken(struct gva *x)
{
    struct gva_state before = x->now;
    x->now = x->next;
    x->next = before;
    bool too_far =
        x->now.criterion > before.criterion && x->now.bound < before.bound + LIFT;
    double row[GVA_TRACE] = {x->now.bound, x->now.criterion, x->rho};
    memcpy(x->trace + (size_t) x->iter * GVA_TRACE, row, sizeof row);
    x->iter++;
    x->rho = too_far ? x->rho / 2 : fmin(1, 1.5 * x->rho);
    go_on(x);
}

static void step_failed(struct gva *x)
{
    x->tries++;
    x->rho /= 2;
    if (x->last) {
        stop(x, GVA_CONVERGED);
    } else if (x->tries < GVA_HALVINGS) {
        propose(x);
    } else {
        stop(x, GVA_STUCK);
    }
}

/* The start, smaller and smaller until all its points have a density. */
static void take_start(struct gva *x, const double *lp, const double *g)
{
    if (answered(x, &x->now, lp, g) && judge(x, &x->now)) {
        x->started = true;
        go_on(x);
    } else if (++x->tries > GVA_SHRINKS) {
        x->now.bound = -INFINITY;
        stop(x, GVA_NO_START);
    } else {
        for (int j = 0; j < x->ask.d * x->ask.d; j++) x->now.L[j] /= 2;
        ask_points(x, &x->now);
    }
}

static enum core_status take(struct asker *a, const double *lp, const double *g)
{
    struct gva *x = (struct gva *) a->ctx;
    if (!x->started) {
        take_start(x, lp, g);
    } else if (answered(x, &x->next, lp, g) && judge(x, &x->next) && better(x)) {
        step_taken(x);
    } else {
        step_failed(x);
    }
    return CORE_OK;
}

void gva_start(struct gva *x)
{
    int d = x->ask.d;
    for (int i = 0; i < d; i++) {
        x->scale[i] = 0;
        for (int j = 0; j <= i; j++)
            x->scale[i] = hypot(x->scale[i], AT(x->now.L, i, j, d));
    }
    x->iter = x->tries = 0;
    x->started = x->last = false;
    x->rho = 1;
    x->end = GVA_RUNNING;
    for (int i = 0; i < x->n; i++) x->now.lp[i] = -INFINITY; /* not asked yet */
    memset(x->now.g, 0, sizeof(double) * (size_t) d * (size_t) x->n);
    x->ask.ctx = x;
    x->ask.n = x->n;
    x->ask.gradient = true;
    x->ask.random = false;
    x->ask.take = take;
    ask_points(x, &x->now);
}
