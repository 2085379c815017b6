/* r_gram.c: glue of the Gram: one pass over the rows, and the merge of two. */
#include "r_util.h"
#include "lmm_gram.h"

enum { HEAD, MEAN, CROSS, ZZ, Z1, ZV, STATUS, N_FIELDS };

static SEXP gram_result(int p, int r, int n_groups)
{
    size_t m = (size_t) p + 1, G = (size_t) n_groups, R = (size_t) r;
    const struct r_field f[N_FIELDS] = {
        [HEAD] = {"head", GRAM_HEAD, R_VECTOR}, [MEAN] = {"mean", m, R_VECTOR},
        [CROSS] = {"cross", m, m},       [ZZ] = {"zz", R * R * G, R_VECTOR},
        [Z1] = {"z1", R * G, R_VECTOR},         [ZV] = {"zv", m, R * G},
        [STATUS] = {"status", 1, R_VECTOR}};
    return r_list(f, N_FIELDS);
}

static struct gram gram_view(SEXP x, int p, int r, int n_groups)
{
    struct gram g = {.p = p, .r = r, .n_groups = n_groups};
    g.head = REAL(r_elt(x, "head"));
    g.mean = REAL(r_elt(x, "mean"));
    g.cross = REAL(r_elt(x, "cross"));
    g.zz = REAL(r_elt(x, "zz"));
    g.z1 = REAL(r_elt(x, "z1"));
    g.zv = REAL(r_elt(x, "zv"));
    return g;
}

/* Every code of a row that counts must be a group: the core does not look. */
static void check_codes(const struct gram_rows *d)
{
    if (!d->group) return;
    for (size_t i = 0; i < d->n; i++)
        if ((d->group[i] < 1 || d->group[i] > d->n_groups) && (!d->w || d->w[i] > 0))
            Rf_error("internal error: group code %d out of range", d->group[i]);
}

/* rows: list(X, y, offset, w, group, z, n_groups, r); offset, w, group, z may be NULL. */
SEXP C_gram(SEXP rows)
{
    SEXP X = r_elt(rows, "X");
    struct gram_rows d = {.n = (size_t) Rf_nrows(X), .p = Rf_ncols(X)};
    R_xlen_t n = (R_xlen_t) d.n;
    d.r = r_int(rows, "r");
    d.n_groups = r_int(rows, "n_groups");
    d.X = r_dbl(rows, "X", n * d.p);
    d.y = r_dbl(rows, "y", n);
    d.offset = r_is_null(rows, "offset") ? NULL : r_dbl(rows, "offset", n);
    d.w = r_is_null(rows, "w") ? NULL : r_dbl(rows, "w", n);
    d.group = r_is_null(rows, "group") ? NULL : r_ints(rows, "group", n);
    d.z = r_is_null(rows, "z") ? NULL : r_dbl(rows, "z", n * d.r);

    check_codes(&d);
    SEXP out = PROTECT(gram_result(d.p, d.r, d.n_groups));
    struct gram g = gram_view(out, d.p, d.r, d.n_groups);
    double *scratch = (double *) R_alloc(gram_scratch(d.p), sizeof(double));
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    r_out(out, STATUS)[0] = (double) gram_accumulate(&d, &g, scratch, &h);
    UNPROTECT(1);
    return out;
}

/* The Gram over n_groups groups of a (its groups at map_a, 0-based) and b (at map_b). */
SEXP C_gram_merge(SEXP a, SEXP b, SEXP map_a, SEXP map_b, SEXP n_groups, SEXP r)
{
    int p = Rf_length(r_elt(a, "mean")) - 1, rr = Rf_asInteger(r), G = Rf_asInteger(n_groups);
    SEXP out = PROTECT(gram_result(p, rr, G));
    struct gram g = gram_view(out, p, rr, G);
    struct gram ga = gram_view(a, p, rr, Rf_length(map_a));
    struct gram gb = gram_view(b, p, rr, Rf_length(map_b));
    double *scratch = (double *) R_alloc(2 * ((size_t) p + 1), sizeof(double));
    gram_merge(&g, &ga, INTEGER(map_a), scratch);
    gram_merge(&g, &gb, INTEGER(map_b), scratch);
    UNPROTECT(1);
    return out;
}

/* Group codes of a 1-based integer vector with at most n_levels levels: list(codes, used)
 * where used are the levels that occur in a row of positive weight, in order, and codes are
 * renumbered to them (0 becomes NA, rows of an unused level too). */
SEXP C_group_codes(SEXP x, SEXP w, SEXP n_levels)
{
    R_xlen_t n = Rf_xlength(x);
    int L = Rf_asInteger(n_levels), used = 0;
    const int *xi = INTEGER(x);
    const double *wi = Rf_isNull(w) ? NULL : REAL(w);
    int *map = (int *) R_alloc((size_t) L + 1, sizeof(int));
    for (int l = 0; l <= L; l++) map[l] = 0;
    for (R_xlen_t i = 0; i < n; i++)
        if (xi[i] > 0 && xi[i] <= L && (!wi || wi[i] > 0)) map[xi[i]] = 1;
    for (int l = 1; l <= L; l++)
        if (map[l]) map[l] = ++used;
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(out, 1, Rf_allocVector(INTSXP, used));
    for (int l = 1; l <= L; l++)
        if (map[l]) INTEGER(VECTOR_ELT(out, 1))[map[l] - 1] = l;
    if (used == L) { /* nothing to renumber: share the codes */
        SET_VECTOR_ELT(out, 0, x);
    } else {
        SET_VECTOR_ELT(out, 0, Rf_allocVector(INTSXP, n));
        int *codes = INTEGER(VECTOR_ELT(out, 0));
        for (R_xlen_t i = 0; i < n; i++)
            codes[i] = xi[i] > 0 && xi[i] <= L && map[xi[i]] ? map[xi[i]] : NA_INTEGER;
    }
    UNPROTECT(1);
    return out;
}
