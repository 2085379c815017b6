/* r_glmm_gibbs.c: glue of the sampler of generalised models (one call is one chain), and of the
 * Polya-Gamma generator for its tests. */
#include <string.h>
#include "r_util.h"
#include "glmm_gibbs.h"
#include "rand_pg.h"

static const size_t *r_starts(SEXP core, int n)
{
    const int *from = r_ints(core, "start", n);
    size_t *to = (size_t *) R_alloc((size_t) n, sizeof(size_t));
    for (int i = 0; i < n; i++) to[i] = (size_t) from[i];
    return to;
}

static struct glmm r_glmm_rows(SEXP core)
{
    struct glmm g = {.lmm = r_model(core), .family = (enum glmm_family) r_int(core, "family")};
    g.n = (size_t) Rf_xlength(r_elt(core, "y"));
    R_xlen_t n = (R_xlen_t) g.n;
    g.X = r_dbl(core, "X", n * g.lmm.p);
    g.y = r_dbl(core, "y", n);
    g.size = r_dbl(core, "size", n);
    g.offset = r_dbl(core, "offset", n);
    g.start = r_starts(core, glmm_runs(&g) + 1);
    g.z = r_is_null(core, "z") ? NULL : r_dbl(core, "z", n * g.lmm.shape.r);
    SEXP other = r_elt(core, "other");
    g.n_other = Rf_length(other);
    if (g.n_other > GLMM_MAX_FACTORS) Rf_error("internal error: %d factors", g.n_other);
    for (int f = 0; f < g.n_other; f++) {
        SEXP x = VECTOR_ELT(other, f);
        g.other[f] = (struct glmm_factor){.r = r_int(x, "r"), .col = r_ints(x, "col", n),
                                          .pos = r_ints(x, "pos", n)};
        g.other[f].z = r_is_null(x, "z") ? NULL : r_dbl(x, "z", n * g.other[f].r);
    }
    g.lmm.first_term = 1;
    return g;
}

enum { DRAWS, U_DRAWS, U_MEAN, U_M2, LAST, THETA, MOVER, N_FIELDS };

/* start: phi, then the precisions and auxiliaries; control: list(iter, warmup, thin, interweave,
 * save_u, hamiltonian, step).
 * Returns list(result, c(status, iter, block)); result$mover is c(phi, acceptance, step). */
SEXP C_fit_glmm_gibbs(SEXP core, SEXP start, SEXP control, SEXP progress)
{
    const struct glmm m = r_glmm_rows(core);
    size_t dim = arrow_dim(&m.lmm.shape), n_u = dim - (size_t) m.lmm.p;
    size_t q = (size_t) m.lmm.n_par;
    const struct glmm_gibbs_control ctl = {
        {r_int(control, "iter"), r_int(control, "warmup"), r_int(control, "thin"),
         Rf_asLogical(r_elt(control, "interweave"))},
        Rf_asLogical(r_elt(control, "hamiltonian")) ? GLMM_HMC : GLMM_PG};
    bool save_u = Rf_asLogical(r_elt(control, "save_u"));
    size_t kept = (size_t) gibbs_kept(&ctl.run);
    if ((size_t) Rf_length(start) != q || TYPEOF(start) != REALSXP)
        Rf_error("internal error: %d starting values needed", (int) q);

    const struct r_field f[N_FIELDS] = {
        [DRAWS] = {"draws", kept, (size_t) (m.lmm.p + m.lmm.n_stat)},
        [U_DRAWS] = {"u_draws", save_u ? kept : 0, save_u ? n_u : 0},
        [U_MEAN] = {"u_mean", n_u, R_VECTOR},
        [U_M2] = {"u_m2", n_u, R_VECTOR},
        [LAST] = {"t", q, R_VECTOR},
        [THETA] = {"theta", dim, R_VECTOR},
        [MOVER] = {"mover", 3, R_VECTOR}};
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(out, 0, r_list(f, N_FIELDS));
    SET_VECTOR_ELT(out, 1, Rf_allocVector(INTSXP, 3));
    SEXP res = VECTOR_ELT(out, 0);
    struct glmm_gibbs_state s = {
        .g = {.t = r_out(res, LAST), .theta = r_out(res, THETA), .draws = r_out(res, DRAWS),
              .u_draws = save_u ? r_out(res, U_DRAWS) : NULL, .u_mean = r_out(res, U_MEAN),
              .u_m2 = r_out(res, U_M2)},
        .phi = REAL(start)[0], .step = r_num(control, "step")};
    double *mover = r_out(res, MOVER);
    memcpy(s.g.t, REAL(start), sizeof(double) * q);
    s.g.t[0] = 1;
    struct arena count = {NULL, 0};
    glmm_gibbs_work_carve(&m, &count);
    struct arena a = r_arena(&count);
    struct glmm_gibbs_work w = glmm_gibbs_work_carve(&m, &a);
    struct r_poll poll = {progress, ctl.run.iter > 100 ? ctl.run.iter / 100 : 1};
    struct core_hooks h = {r_poll_hook, &poll};
    struct core_info info = {0, -1};

    GetRNGstate();
    enum core_status st = glmm_gibbs_run(&m, &ctl, &s, &w, &h, &info);
    PutRNGstate();
    mover[0] = s.phi;
    mover[1] = s.accept;
    mover[2] = s.step;
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

/* One draw from PG(b_i, c_i) each, for the tests. */
SEXP C_test_pg(SEXP b, SEXP c)
{
    R_xlen_t n = Rf_xlength(b);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
    const double *pb = REAL(b), *pc = REAL(c);
    double *x = REAL(out);
    GetRNGstate();
    for (R_xlen_t i = 0; i < n; i++) x[i] = rand_pg(pb[i], pc[i]);
    PutRNGstate();
    UNPROTECT(1);
    return out;
}
