/* r_emulate.c: glue of the emulator of the log likelihood over the variance parameters. */
#include <float.h>
#include <math.h>
#include <string.h>
#include "model/lmm_prior.h"
#include "engine/emulator_rule.h"
#include "glue/r_glmm.h"

/* The model with the Gram of its rows, which other families have beside the rows. */
static struct glmm r_with_gram(SEXP core)
{
    struct glmm g = {.n = 0};
    if (r_is_null(core, "rows")) {
        g.lmm = r_model(core);
        return g;
    }
    g = r_glmm(core);
    const struct arrow_shape *s = &g.lmm.shape;
    g.lmm.separate = false;
    r_pack(&g.lmm);
    g.lmm.G.global = (double *) r_global(core, s);
    g.lmm.G.leaf = (double *) r_finite(core, "leaf", (R_xlen_t) arrow_leaf_size(s));
    g.lmm.G.cross = (double *) r_finite(core, "cross", (R_xlen_t) arrow_cross_size(s));
    return g;
}

/* core: as of the conditional fits. list(list(base, K0, inner, M, lead), status), see sampling.h; the status
 * is not zero where a term's rows are too few or too alike. */
SEXP C_emulate_sampling(SEXP core)
{
    const struct glmm g = r_with_gram(core);
    size_t size = (size_t) sampling_size(&g.lmm), n = (size_t) g.lmm.n_prec;
    const struct r_field f[5] = {{"base", 1, R_VECTOR},
                                 {"K0", size, R_VECTOR},
                                 {"inner", n, n},
                                 {"M", size, n},
                                 {"lead", 1, R_VECTOR}};
    SEXP res = PROTECT(r_list(f, 5)), out = PROTECT(r_with_status(res));
    struct sampling s = {sampling_base(&g), r_out(res, 1), r_out(res, 2), r_out(res, 3)};
    int *work = NULL;
    R_ARENA (a) {
        work = arena_ints(&a, (size_t) sampling_work(&g.lmm));
    }
    r_out(res, 0)[0] = s.base;
    r_out(res, 4)[0] = g.lmm.first_term;
    struct core_info info = {0, -1};
    r_set_status(INTEGER(VECTOR_ELT(out, 1)),
                 sampling_from_gram(&g.lmm, &s, work) ? CORE_OK : CORE_NONFINITE, &info);
    UNPROTECT(2);
    return out;
}

static struct emulator_coord r_coord(SEXP sampling, SEXP state, const struct lmm *m,
                                     double *prior_const)
{
    struct emulator_coord c = {.m = m, .prior_const = prior_const};
    R_xlen_t size = sampling_size(m), n = m->n_prec;
    if (m->n_stat < 1 || m->n_stat > EMULATOR_MAX_D)
        Rf_error("internal error: an emulator in %d dimensions", m->n_stat);
    c.sampling.base = r_num(sampling, "base", 0, DBL_MAX);
    c.sampling.K0 = (double *) r_finite(sampling, "K0", size);
    c.sampling.inner = (double *) r_finite(sampling, "inner", n * n);
    c.sampling.M = (double *) r_finite(sampling, "M", size * n);
    c.e0 = r_finite_num(state, "e0");
    c.triples = r_flag(state, "triples");
    c.bend = r_dbl(state, "bend", m->n_stat);
    for (int k = 0; k < m->n_prec; k++) prior_const[k] = lmm_prior_constant(m, k);
    emulator_coord_prepare(&c);
    return c;
}

static struct emulator_fits r_fits(SEXP fits, int d)
{
    struct emulator_fits f = {.psi = r_finite(fits, "psi", -1)};
    f.n = r_columns(r_elt(fits, "psi"), "psi", d);
    if (f.n < d + 2 || f.n > 200) r_bad("psi");
    f.slope = r_finite(fits, "slope", (R_xlen_t) f.n * d);
    f.log_lik = r_finite(fits, "log_lik", f.n);
    f.correction =
        r_is_null(fits, "correction") ? NULL : r_finite(fits, "correction", f.n);
    return f;
}

enum {
    PSI,
    WEIGHTS,
    LOG_DENSITY,
    GRADIENT,
    A,
    CORRECTION,
    MEAN,
    SD,
    AXIS_ERRORS,
    CENTRE,
    L,
    NEXT_CENTRE,
    NEXT_L,
    NEXT_LX,
    PICKS,
    PRED,
    PRED_SD,
    NUMBERS,
    N_FIELDS
};
enum { EVIDENCE, RULE, TRUNCATION, GP, ELL, POINTS, KEPT, N_NUMBERS };

static SEXP rule_result(const struct emulator_rule *r, const struct emulator *e,
                        int batch)
{
    size_t d = (size_t) r->d, n = (size_t) r->n_out, b = (size_t) batch,
           k = (size_t) r->n_y, fits = (size_t) e->fits.n,
           corrected = e->fits.correction ? n : 0;
    const struct r_field f[N_FIELDS] = {
        [PSI] = {"psi", d, n},
        [WEIGHTS] = {"weights", n, R_VECTOR},
        [LOG_DENSITY] = {"log_density", n, R_VECTOR},
        [GRADIENT] = {"gradient", d, n},
        [A] = {"A", fits, n},
        [CORRECTION] = {"correction", corrected, R_VECTOR},
        [MEAN] = {"mean", k, R_VECTOR},
        [SD] = {"sd", k, R_VECTOR},
        [AXIS_ERRORS] = {"axis_errors", d, R_VECTOR},
        [CENTRE] = {"centre", d, R_VECTOR},
        [L] = {"L", d, d},
        [NEXT_CENTRE] = {"next_centre", d, R_VECTOR},
        [NEXT_L] = {"next_L", d, d},
        [NEXT_LX] = {"next_Lx", d, d},
        [PICKS] = {"picks", d, b},
        [PRED] = {"predicted", b, R_VECTOR},
        [PRED_SD] = {"predicted_sd", b, R_VECTOR},
        [NUMBERS] = {"numbers", N_NUMBERS, R_VECTOR}};
    return r_list(f, N_FIELDS);
}

static void put_nodes(SEXP out, struct emulator *e, const struct emulator_rule *r)
{
    size_t d = (size_t) r->d, n = (size_t) e->fits.n, bytes = sizeof(double) * d;
    for (int i = 0; i < r->n_out; i++) {
        int at = r->order[r->out[i]].at;
        size_t col = (size_t) i, from = (size_t) r->out[i] * d;
        double *weights = r_out(out, A) + col * n;
        memcpy(r_out(out, PSI) + col * d, emulator_rule_psi(r, at), bytes);
        emulator_rule_gradient(r, at, r_out(out, GRADIENT) + col * d);
        r_out(out, WEIGHTS)[i] = r->out_w[i];
        r_out(out, LOG_DENSITY)[i] = e->top + emulator_rule_value(r, at);
        emulator_gp_values_at(&e->values, r->z + from, e->basis, weights);
        if (!e->fits.correction) continue;
        for (size_t f = 0; f < n; f++)
            r_out(out, CORRECTION)[i] += weights[f] * e->fits.correction[f];
    }
}

static void put_summary(SEXP out, const struct emulator *e, const struct emulator_rule *r,
                        int batch)
{
    size_t d = (size_t) r->d, k = (size_t) r->n_y, bytes = sizeof(double) * d;
    memcpy(r_out(out, MEAN), r->mean, sizeof(double) * k);
    memcpy(r_out(out, SD), r->sd, sizeof(double) * k);
    memcpy(r_out(out, AXIS_ERRORS), r->axis_errors, bytes);
    memcpy(r_out(out, CENTRE), r->centre, bytes);
    memcpy(r_out(out, L), r->L, bytes * d);
    memcpy(r_out(out, NEXT_CENTRE), r->next_centre, bytes);
    memcpy(r_out(out, NEXT_L), r->next_L, bytes * d);
    memcpy(r_out(out, NEXT_LX), r->next_Lx, bytes * d);
    for (int b = 0; b < batch; b++) {
        int some = r->picks[b];
        memcpy(r_out(out, PICKS) + (size_t) b * d,
               emulator_rule_psi(r, r->order[r->some[some]].at), bytes);
        r_out(out, PRED)[b] = e->top + r->pred[b];
        r_out(out, PRED_SD)[b] = r->pred_sd[some];
    }
    double *x = r_out(out, NUMBERS);
    x[EVIDENCE] = r->log_evidence;
    x[RULE] = r->rule;
    x[TRUNCATION] = r->truncation;
    x[GP] = r->gp;
    x[ELL] = e->gp.ell;
    x[POINTS] = r->n;
    x[KEPT] = r->kept;
}

static struct emulator_settings r_settings(SEXP x)
{
    return (struct emulator_settings){.step = r_num(x, "step", 1e-3, 100),
                                      .drop = r_num(x, "drop", 1, 700),
                                      .tol = r_num(x, "tol", 0, DBL_MAX),
                                      .far = r_num(x, "far", 0, DBL_MAX),
                                      .kappa = r_num(x, "kappa", 0, DBL_MAX),
                                      .capacity =
                                          r_int(x, "capacity", 16, LATTICE_MAX_POINTS),
                                      .negligible = r_num(x, "negligible", 0, 0.5),
                                      .nodes = r_int(x, "nodes", 16, LATTICE_MAX_POINTS),
                                      .centred = r_flag(x, "centred"),
                                      .batch = r_int(x, "batch", 1, 64)};
}

/* One round: sampling: C_emulate_sampling()'s; fits: list(psi, slope (d x n each), log_lik, correction (n each;
 * NULL: none)); state: list(e0, triples, bend (d), centre (d), L (d x d), Lx (d x d; NULL: the first round, of which L's
 * diagonal are scales), errors (NULL, or the rule's error and the axes' on the lattice of centre and L)); settings: see r_settings(). Returns list(list(...),
 * status): nodes, summary and picks, as in rule_result(). */
SEXP C_emulate(SEXP core, SEXP sampling, SEXP fits, SEXP state, SEXP settings)
{
    const struct lmm m = r_prior(core, r_int(sampling, "lead", 0, 1));
    int d = m.n_stat;
    double prior_const[LMM_MAX_PREC];
    const struct emulator_coord c = r_coord(sampling, state, &m, prior_const);
    const struct emulator_fits f = r_fits(fits, d);
    const struct emulator_settings s = r_settings(settings);
    bool known = !r_is_null(state, "Lx");
    const double *centre = r_finite(state, "centre", d),
                 *scale = r_finite(state, "L", (R_xlen_t) d * d);
    struct r_poll poll = {R_NilValue, 0};
    const struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    struct emulator e;
    struct emulator_rule r;
    R_ARENA (a) {
        e = emulator_carve(&c, &f, &a);
        r = emulator_rule_carve(&e, &s, &a);
    }
    e.far = s.far;
    e.Lx = known ? r_finite(state, "Lx", (R_xlen_t) d * d) : NULL;
    memcpy(r.centre, centre, sizeof(double) * (size_t) d);
    memcpy(r.L, scale, sizeof(double) * (size_t) (d * d));
    if (!r_is_null(state, "errors")) {
        const double *errors = r_dbl(state, "errors", d + 1);
        r.rule = errors[0];
        memcpy(r.axis_errors, errors + 1, sizeof(double) * (size_t) d);
    }
    enum core_status st = CORE_NONFINITE;
    if (emulator_prepare(&e)) st = emulator_rule_run(&e, &s, known, &r, &h, &info);
    SEXP res =
        PROTECT(st == CORE_OK ? rule_result(&r, &e, s.batch) : Rf_allocVector(VECSXP, 0));
    if (st == CORE_OK) {
        put_nodes(res, &e, &r);
        put_summary(res, &e, &r, s.batch);
    }
    SEXP out = PROTECT(r_with_status(res));
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(2);
    return out;
}
