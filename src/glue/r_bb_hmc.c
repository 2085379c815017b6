/* r_bb_hmc.c: glue of the Hamiltonian samplers. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "blackbox/hmc.h"
#include "blackbox/nuts.h"
#include "glue/r_ask.h"
#include "glue/r_bb_hmc.h"

static struct hamilton_settings r_settings(SEXP s)
{
    struct hamilton_settings set = {
        .iter = r_int(s, "iter", 1, INT_MAX - 1),
        .target = r_num(s, "target", 0, 1),
        .first = r_num(s, "first", DBL_MIN, DBL_MAX),
        .most = r_num(s, "most", DBL_MIN, INFINITY),
        .length = r_num(s, "length", DBL_MIN, DBL_MAX),
        .max_leapfrogs = r_int(s, "max_leapfrogs", 1, INT_MAX - 1),
        .max_depth = r_int(s, "max_depth", 1, NUTS_MAX_DEPTH)};
    set.warmup = r_int(s, "warmup", 0, set.iter);
    set.windows = r_ints(s, "windows", -1);
    set.n_windows = (int) Rf_xlength(r_elt(s, "windows"));
    for (int k = 0; k < set.n_windows; k++)
        if (set.windows[k] <= (k ? set.windows[k - 1] : 0) ||
            set.windows[k] > set.warmup || set.windows[k] == set.iter)
            r_bad("windows");
    return set;
}

/* L: d x d or d, with a positive diagonal. */
static const double *r_root(SEXP metric, int d, bool *dense)
{
    SEXP L = r_elt(metric, "L");
    *dense = Rf_isMatrix(L);
    if (*dense && d > R_MAX_SQUARE) r_bad("L");
    const double *x = r_finite(metric, "L", *dense ? (R_xlen_t) d * d : d);
    for (int i = 0; i < d; i++)
        if (!((*dense ? AT(x, i, i, d) : x[i]) > 0)) r_bad("L");
    return x;
}

enum {
    Z,
    GRADIENT,
    LP,
    ENERGY,
    ACCEPT,
    LEAPFROGS,
    DEPTH,
    DIVERGENT,
    STEP,
    KEPT,
    M,
    ROOT,
    ASKED,
    N_FIELDS
};

static SEXP new_result(const struct hamilton *h)
{
    size_t kept = (size_t) (h->set.iter - h->set.warmup), chains = (size_t) h->n_chain;
    size_t d = (size_t) h->w.d;
    const struct r_field f[N_FIELDS] = {[Z] = {"z", kept * chains, d},
                                        [GRADIENT] = {"gradient", kept * chains, d},
                                        [LP] = {"lp", kept, chains},
                                        [ENERGY] = {"energy", kept, chains},
                                        [ACCEPT] = {"accept", kept, chains},
                                        [LEAPFROGS] = {"n_leapfrog", kept, chains},
                                        [DEPTH] = {"depth", kept, chains},
                                        [DIVERGENT] = {"divergent", kept, chains},
                                        [STEP] = {"step", chains, R_VECTOR},
                                        [KEPT] = {"kept", chains, R_VECTOR},
                                        [M] = {"m", d, R_VECTOR},
                                        [ROOT] = {"L", d, h->w.dense ? d : R_VECTOR},
                                        [ASKED] = {"asked", 1, R_VECTOR}};
    return r_with_status(r_list(f, N_FIELDS));
}

static struct hamilton_record views(SEXP res)
{
    return (struct hamilton_record){.z = r_out(res, Z),
                                    .gradient = r_out(res, GRADIENT),
                                    .lp = r_out(res, LP),
                                    .energy = r_out(res, ENERGY),
                                    .accept = r_out(res, ACCEPT),
                                    .leapfrogs = r_out(res, LEAPFROGS),
                                    .depth = r_out(res, DEPTH),
                                    .divergent = r_out(res, DIVERGENT),
                                    .step = r_out(res, STEP),
                                    .kept = r_out(res, KEPT)};
}

static void set_up(struct hamilton *h, bool nuts)
{
    R_ARENA (a) {
        hamilton_carve(h, &a);
        if (nuts)
            nuts_carve(h, &a);
        else
            hmc_carve(h, &a);
    }
}

struct r_hmc r_bb_hmc_new(SEXP start, SEXP metric, SEXP settings, SEXP progress)
{
    int chains = r_columns(start, "start", -1), d = Rf_nrows(start);
    if (chains < 1 || d < 1) r_bad("start");
    struct r_hmc x = {
        .h = {.n_chain = chains, .set = r_settings(settings), .w = {.d = d}}};
    x.start = r_as_finite(start, "start", (R_xlen_t) d * chains);
    const double *m = r_finite(metric, "m", d), *L = r_root(metric, d, &x.h.w.dense);
    x.most = r_num(settings, "max_points", 0, INFINITY);
    x.poll = (struct r_poll){r_progress(progress), 1};
    x.poll.every = (int) fmin(fmax(1, x.h.set.iter / 100.0 * chains), INT_MAX);
    x.out = PROTECT(new_result(&x.h));
    SEXP res = VECTOR_ELT(x.out, 0);
    set_up(&x.h, r_flag(settings, "nuts"));
    x.h.w.m = r_out(res, M);
    x.h.w.L = r_out(res, ROOT);
    memcpy(x.h.w.m, m, sizeof(double) * (size_t) d);
    memcpy(x.h.w.L, L, sizeof(double) * whiten_size(d, x.h.w.dense));
    x.h.out = views(res);
    x.asked = r_out(res, ASKED);
    UNPROTECT(1);
    return x;
}

void r_bb_hmc_close(struct r_hmc *x, enum core_status st)
{
    const struct core_info info = {x->h.done, x->h.lost};
    r_set_status(INTEGER(VECTOR_ELT(x->out, 1)), st, &info);
}

/* Answers the asker until it is done. lp, g: of all chains. */
static enum core_status answer_all(struct r_hmc *x, struct asker *a,
                                   r_bb_hmc_density *density, void *ctx, double *lp,
                                   double *g)
{
    enum core_status st = CORE_OK;
    struct r_poll ctrl_c = {R_NilValue, 0};
    while (st == CORE_OK && a->n > 0) {
        if (r_poll_hook(&ctrl_c, 0)) return CORE_INTERRUPTED;
        if (*x->asked + a->n > x->most) return CORE_DEAR;
        *x->asked += a->n;
        for (int i = 0; i < a->n; i++) {
            size_t at = (size_t) i * (size_t) a->d;
            lp[i] = density(ctx, a->z + at, g + at);
        }
        st = a->take(a, lp, g);
    }
    return st;
}

void r_bb_hmc_run(struct r_hmc *x, r_bb_hmc_density *density, void *ctx)
{
    const struct core_hooks hooks = {r_poll_hook, &x->poll};
    const size_t chains = (size_t) x->h.n_chain, d = (size_t) x->h.w.d;
    x->h.hooks = &hooks;
    double *lp, *g;
    R_ARENA (a) {
        lp = arena_doubles(&a, chains);
        g = arena_doubles(&a, chains * d);
    }
    memset(g, 0, sizeof(double) * chains * d);
    struct asker ask = hamilton_asker(&x->h, x->start);
    GetRNGstate();
    enum core_status st = answer_all(x, &ask, density, ctx, lp, g);
    PutRNGstate();
    r_bb_hmc_close(x, st);
}

/* evaluate: see r_ask.h. start: d x chains. metric: list(m, L), L d x d (lower) or d. settings:
 * list(nuts, iter, warmup, target, first, most, length, max_leapfrogs, max_depth, windows,
 * max_points), see hamilton.h. progress: function of the transitions of all chains, or NULL.
 * Returns list(result, c(status, iter, chain)). */
SEXP C_bb_hmc(SEXP evaluate, SEXP start, SEXP metric, SEXP settings, SEXP progress)
{
    if (!Rf_isFunction(evaluate)) r_bad("evaluate");
    struct r_hmc x = r_bb_hmc_new(start, metric, settings, progress);
    PROTECT(x.out);
    const struct core_hooks hooks = {r_poll_hook, &x.poll};
    x.h.hooks = &hooks;
    struct asker a = hamilton_asker(&x.h, x.start);
    r_bb_hmc_close(&x, r_ask(&a, evaluate, x.most, x.asked));
    UNPROTECT(1);
    return x.out;
}
