/* r_util.c: decode R lists into core structs, make result lists, poll for interrupts. */
#include <string.h>
#include "r_util.h"

static SEXP find(SEXP list, const char *name)
{
    SEXP names = Rf_getAttrib(list, R_NamesSymbol);
    for (R_xlen_t i = 0; i < Rf_xlength(names); i++)
        if (strcmp(CHAR(STRING_ELT(names, i)), name) == 0) return VECTOR_ELT(list, i);
    return NULL;
}

SEXP r_elt(SEXP list, const char *name)
{
    SEXP e = find(list, name);
    if (!e) Rf_error("internal error: the list passed to C has no element '%s'", name);
    return e;
}

bool r_is_null(SEXP list, const char *name)
{
    SEXP e = find(list, name);
    return !e || Rf_isNull(e);
}

double r_num(SEXP list, const char *name) { return Rf_asReal(r_elt(list, name)); }

int r_int(SEXP list, const char *name) { return Rf_asInteger(r_elt(list, name)); }

const double *r_dbl(SEXP list, const char *name, R_xlen_t length)
{
    SEXP e = r_elt(list, name);
    if (TYPEOF(e) != REALSXP || (length >= 0 && Rf_xlength(e) != length))
        Rf_error("internal error: '%s' has the wrong type or length", name);
    return REAL(e);
}

const int *r_ints(SEXP list, const char *name, R_xlen_t length)
{
    SEXP e = r_elt(list, name);
    if (TYPEOF(e) != INTSXP || (length >= 0 && Rf_xlength(e) != length))
        Rf_error("internal error: '%s' has the wrong type or length", name);
    return INTEGER(e);
}

struct arrow_shape r_shape(SEXP core)
{
    struct arrow_shape s = {.n_global = r_int(core, "n_global"), .n_leaf = r_int(core, "n_leaf"),
                            .r = r_int(core, "r")};
    s.ptr = r_ints(core, "ptr", (R_xlen_t) s.n_leaf + 1);
    s.idx = r_ints(core, "idx", s.n_leaf ? s.ptr[s.n_leaf] : 0);
    s.full = s.n_leaf > 0 && (size_t) s.ptr[s.n_leaf] ==
                                 (size_t) s.n_leaf * (size_t) s.n_global;
    return s;
}

/* One element of core$prec, see core_precision() in R. */
static struct precision r_precision(SEXP x)
{
    struct precision pr = {.r = r_int(x, "r"), .n_levels = r_int(x, "n_levels"),
                           .leaf = Rf_asLogical(r_elt(x, "leaf")), .first = r_int(x, "first"),
                           .stride = r_int(x, "stride"), .block = r_int(x, "block"),
                           .aux = -1, .df0 = r_num(x, "df0"), .nu = r_num(x, "nu")};
    if (pr.r < 1 || pr.r > EXPFAM_MAX_R)
        Rf_error("internal error: a precision matrix of size %d", pr.r);
    pr.rate0 = r_dbl(x, "rate0", (R_xlen_t) pr.r * pr.r);
    pr.aux_rate = r_dbl(x, "aux_rate", pr.nu > 0 ? pr.r : 0);
    pr.map = r_is_null(x, "map") ? NULL : r_dbl(x, "map", (R_xlen_t) pr.r * pr.r);
    return pr;
}

/* Precisions and where their statistics and auxiliaries stand in t. */
static void r_precisions(SEXP list, struct lmm *m)
{
    m->n_prec = Rf_length(list);
    if (m->n_prec < m->first_term || m->n_prec > LMM_MAX_PREC)
        Rf_error("internal error: %d precisions", m->n_prec);
    for (int k = 0; k < m->n_prec; k++) {
        m->prec[k] = r_precision(VECTOR_ELT(list, k));
        m->prec[k].at = m->n_stat;
        m->n_stat += vech_size(m->prec[k].r);
    }
    m->n_par = m->n_stat;
    for (int k = 0; k < m->n_prec; k++) {
        if (!(m->prec[k].nu > 0)) continue;
        m->prec[k].aux = m->n_par;
        m->n_par += m->prec[k].r;
    }
}

struct lmm r_prior(SEXP core, int first_term)
{
    struct lmm m = {.shape = r_shape(core), .first_term = first_term};
    m.p = r_int(core, "p");
    m.flat = Rf_asLogical(r_elt(core, "flat"));
    m.Tb = r_dbl(core, "Tb", (R_xlen_t) m.p * m.p);
    m.mu = r_dbl(core, "mu", m.p);
    m.logdet_Tb = r_num(core, "logdet_Tb");
    r_precisions(r_elt(core, "prec"), &m);
    return m;
}

struct lmm r_model(SEXP core)
{
    struct lmm m = r_prior(core, 1);
    R_xlen_t dim = (R_xlen_t) arrow_dim(&m.shape);
    m.G.global = (double *) r_dbl(core, "global", (R_xlen_t) arrow_global_size(&m.shape));
    m.G.leaf = (double *) r_dbl(core, "leaf", (R_xlen_t) arrow_leaf_size(&m.shape));
    m.G.cross = (double *) r_dbl(core, "cross", (R_xlen_t) arrow_cross_size(&m.shape));
    m.h = r_dbl(core, "h", dim);
    m.yy = r_num(core, "yy");
    m.n = r_num(core, "n");
    m.sum_log_w = r_num(core, "sum_log_w");
    m.separate = Rf_asLogical(r_elt(core, "separate"));
    return m;
}

struct arena r_arena(const struct arena *counted)
{
    struct arena a = {.base = R_alloc(counted->used + sizeof(double), 1), .used = 0};
    return a;
}

SEXP r_list(const struct r_field *fields, int n)
{
    SEXP out = PROTECT(Rf_allocVector(VECSXP, n)), names = PROTECT(Rf_allocVector(STRSXP, n));
    for (int i = 0; i < n; i++) {
        const struct r_field *f = &fields[i];
        SEXP v = f->ncol == R_VECTOR
                     ? Rf_allocVector(REALSXP, (R_xlen_t) f->nrow)
                     : Rf_allocMatrix(REALSXP, (int) f->nrow, (int) f->ncol);
        SET_VECTOR_ELT(out, i, v);
        memset(REAL(v), 0, sizeof(double) * (size_t) Rf_xlength(v));
        SET_STRING_ELT(names, i, Rf_mkChar(f->name));
    }
    Rf_setAttrib(out, R_NamesSymbol, names);
    UNPROTECT(2);
    return out;
}

double *r_out(SEXP list, int i) { return REAL(VECTOR_ELT(list, i)); }

static void check_interrupt(void *unused)
{
    (void) unused;
    R_CheckUserInterrupt();
}

static bool progress_failed(SEXP progress, int done)
{
    int error = 0;
    SEXP arg = PROTECT(Rf_ScalarInteger(done)), call = PROTECT(Rf_lang2(progress, arg));
    R_tryEvalSilent(call, R_GlobalEnv, &error);
    UNPROTECT(2);
    return error != 0;
}

int r_poll_hook(void *ctx, int done)
{
    const struct r_poll *p = ctx;
    if (R_ToplevelExec(check_interrupt, NULL) == FALSE) return 1;
    if (p->progress != R_NilValue && p->every > 0 && done % p->every == 0)
        return progress_failed(p->progress, done);
    return 0;
}

void r_set_status(int *out, enum core_status st, const struct core_info *info)
{
    out[0] = (int) st;
    out[1] = info->iter;
    out[2] = info->block;
}
