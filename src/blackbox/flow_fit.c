/* flow_fit.c: see flow_fit.h. */
#include <math.h>
#include <string.h>
#include "base/blas.h"
#include "blackbox/flow_fit.h"

struct flow_fit flow_fit_carve(const struct flow *f, const struct flow_control *ctl,
                               struct arena *a)
{
    size_t n_w = flow_n_weights(f), n = (size_t) ctl->draws, dn = (size_t) f->d * n;
    struct flow_fit x = {.ask = {.d = f->d}, .f = *f, .ctl = *ctl};
    x.room = flow_room_carve(f, ctl->draws, true, a);
    x.adam = adam_carve(n_w, a);
    x.w = arena_doubles(a, n_w);
    x.gradient = arena_doubles(a, n_w);
    x.e = arena_doubles(a, dn);
    x.z = arena_doubles(a, dn);
    x.D = arena_doubles(a, dn);
    x.v = arena_doubles(a, dn);
    x.c = arena_doubles(a, n);
    x.trace = arena_doubles(a, (size_t) ctl->steps);
    x.f.w = x.w;
    return x;
}

static void ask_draws(struct flow_fit *x)
{
    rand_normals(&x->zig, (size_t) x->f.d * (size_t) x->ctl.draws, x->e);
    flow_forward(&x->f, &x->room, x->e, x->z);
    x->ask.z = x->z;
    x->ask.n = x->ctl.draws;
}

static bool usable(int d, double lp, const double *g)
{
    bool ok = isfinite(lp);
    for (int j = 0; j < d; j++) ok = ok && isfinite(g[j]);
    return ok;
}

/* Share of each usable draw in c, the others 0; the ELBO over them in the trace. Their number. */
static int weigh(struct flow_fit *x, const double *lp, const double *g)
{
    int n = x->ctl.draws, d = x->f.d, used = 0;
    double sum = 0;
    flow_log_density(&x->f, &x->room, x->e, x->v);
    for (int i = 0; i < n; i++) {
        x->c[i] = usable(d, lp[i], g + (size_t) i * (size_t) d);
        if (x->c[i] == 0) continue;
        used++;
        sum += lp[i] - x->v[i];
    }
    x->trace[x->step] = used ? sum / used : NAN;
    for (int i = 0; i < n; i++) x->c[i] /= used ? used : 1;
    return used;
}

static double power(const struct flow_fit *x)
{
    double share = 4. * x->step / x->ctl.steps;
    return fmin(1, x->ctl.cold + (1 - x->ctl.cold) * share);
}

/* gradient <- the slope of the ELBO. */
static void slope(struct flow_fit *x, const double *g)
{
    int d = x->f.d, n = x->ctl.draws;
    double beta = power(x);
    memcpy(x->D, g, sizeof(double) * (size_t) d * (size_t) n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            if (x->c[i] == 0) AT(x->D, j, i, d) = 0;
    F77_CALL(dtrmm)
    ("L", "L", "T", "N", &d, &n, &beta, x->f.L, &d, x->D, &d FCONE FCONE FCONE FCONE);
    if (x->ctl.path) flow_score(&x->f, &x->room, x->v);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++) {
            double *D = &AT(x->D, j, i, d);
            *D = x->c[i] * (x->ctl.path ? *D - AT(x->v, j, i, d) : *D);
        }
    memset(x->gradient, 0, sizeof(double) * x->adam.n);
    flow_slope(&x->f, &x->room, x->D, x->ctl.path ? NULL : x->c, x->gradient);
}

static enum core_status take(struct asker *a, const double *lp, const double *g)
{
    struct flow_fit *x = (struct flow_fit *) a->ctx;
    bool step = 2 * weigh(x, lp, g) >= x->ctl.draws;
    if (step) {
        double left = 1 - (double) x->step / x->ctl.steps;
        slope(x, g);
        adam_clip(x->adam.n, x->gradient, x->ctl.clip);
        step = adam_step(&x->adam, x->ctl.rate * fmin(1, 2 * left), x->gradient, x->w);
    }
    x->empty = step ? 0 : x->empty + 1;
    x->skipped += !step;
    x->step++;
    if (x->empty >= FLOW_PATIENCE || x->step >= x->ctl.steps) {
        x->end = x->empty >= FLOW_PATIENCE ? FLOW_LOST : FLOW_DONE;
        x->ask.n = 0;
    } else {
        ask_draws(x);
    }
    return CORE_OK;
}

void flow_fit_start(struct flow_fit *x)
{
    x->zig = rand_ziggurat();
    flow_draw_weights(&x->f, &x->zig, x->w);
    adam_start(&x->adam);
    x->step = x->empty = x->skipped = 0;
    x->end = FLOW_RUNNING;
    for (int k = 0; k < x->ctl.steps; k++) x->trace[k] = NAN;
    x->ask.ctx = x;
    x->ask.gradient = true;
    x->ask.random = true;
    x->ask.take = take;
    ask_draws(x);
}
