/* r_bb_flow.c: glue of the flow: its fit, its map and its inverse. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "blackbox/flow_fit.h"
#include "glue/r_ask.h"

enum { MOST_LAYERS = 256, MOST_HIDDEN = 4096, MOST_DRAWS = 1000000, BLOCK = 512 };

/* flow: list(m, L, layers, hidden), with `w` where it is asked for. */
static struct flow r_flow(SEXP flow, bool weights)
{
    struct flow f = {.layers = r_int(flow, "layers", 0, MOST_LAYERS),
                     .hidden = r_int(flow, "hidden", 1, MOST_HIDDEN)};
    R_xlen_t d = Rf_xlength(r_elt(flow, "m"));
    if (d < 2 || d > R_MAX_SQUARE) r_bad("m");
    f.d = (int) d;
    f.m = r_finite(flow, "m", d);
    f.L = r_finite(flow, "L", d * d);
    for (int j = 0; j < f.d; j++)
        if (!(AT(f.L, j, j, f.d) > 0)) r_bad("L");
    if (weights) f.w = r_finite(flow, "w", (R_xlen_t) flow_n_weights(&f));
    return f;
}

enum { W, TRACE, END, STEP, SKIPPED, ASKED, N_FIELDS };

static SEXP fit_result(const struct flow_fit *x, double asked)
{
    const struct r_field f[N_FIELDS] = {[W] = {"w", x->adam.n, R_VECTOR},
                                        [TRACE] = {"trace", (size_t) x->step, R_VECTOR},
                                        [END] = {"end", 1, R_VECTOR},
                                        [STEP] = {"steps", 1, R_VECTOR},
                                        [SKIPPED] = {"skipped", 1, R_VECTOR},
                                        [ASKED] = {"asked", 1, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, N_FIELDS));
    memcpy(r_out(res, W), x->w, sizeof(double) * x->adam.n);
    memcpy(r_out(res, TRACE), x->trace, sizeof(double) * (size_t) x->step);
    r_out(res, END)[0] = x->end;
    r_out(res, STEP)[0] = x->step;
    r_out(res, SKIPPED)[0] = x->skipped;
    r_out(res, ASKED)[0] = asked;
    UNPROTECT(1);
    return res;
}

/* evaluate: see r_ask.h; settings: list(steps, draws, rate, clip, cold, path, max_points). R's generator.
 * Returns list(list(w, trace, end, steps, skipped, asked), status). */
SEXP C_bb_flow(SEXP evaluate, SEXP flow, SEXP settings)
{
    if (!Rf_isFunction(evaluate)) r_bad("evaluate");
    const struct flow f = r_flow(flow, false);
    const struct flow_control ctl = {.steps = r_int(settings, "steps", 1, INT_MAX - 1),
                                     .draws = r_int(settings, "draws", 1, MOST_DRAWS),
                                     .rate = r_num(settings, "rate", 0, DBL_MAX),
                                     .clip = r_num(settings, "clip", DBL_MIN, DBL_MAX),
                                     .cold = r_num(settings, "cold", 0, 1),
                                     .path = r_flag(settings, "path")};
    double most = r_num(settings, "max_points", 0, R_PosInf), asked;
    struct flow_fit x;
    R_ARENA (a) {
        x = flow_fit_carve(&f, &ctl, &a);
    }
    GetRNGstate();
    flow_fit_start(&x);
    PutRNGstate();
    enum core_status st = r_ask(&x.ask, evaluate, most, &asked);
    return r_ask_ended(fit_result(&x, asked), st, x.step);
}

/* x: d x n, base points, or with `inverse` draws. Returns list(y (d x n), the others, and log_q, the
 * flow's log density at the draws). */
SEXP C_bb_flow_map(SEXP flow, SEXP x, SEXP inverse)
{
    const struct flow f = r_flow(flow, true);
    int n = r_columns(x, "x", f.d);
    bool back = r_as_flag(inverse, "inverse");
    const double *from = r_as_dbl(x, "x", -1);
    const struct r_field field[] = {{"y", (size_t) f.d, (size_t) n},
                                    {"log_q", (size_t) n, R_VECTOR}};
    SEXP out = PROTECT(r_list(field, 2));
    double *to = r_out(out, 0), *log_q = r_out(out, 1);
    struct flow_room room;
    int block = n < BLOCK ? n : BLOCK;
    R_ARENA (a) {
        room = flow_room_carve(&f, block, false, &a);
    }
    for (int i = 0; i < n; i += block) {
        size_t at = (size_t) i * (size_t) f.d;
        room.n = n - i < block ? n - i : block;
        if (back)
            flow_inverse(&f, &room, from + at, to + at);
        else
            flow_forward(&f, &room, from + at, to + at);
        flow_log_density(&f, &room, (back ? to : from) + at, log_q + i);
        R_CheckUserInterrupt();
    }
    UNPROTECT(1);
    return out;
}
