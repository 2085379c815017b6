/* r_gram.c: glue of the Gram: one pass over the rows, and the merge of two. */
#include <limits.h>
#include <string.h>
#include "arrow/gram.h"
#include "glue/r_util.h"

/* list(zz, z1, zv) of one factor. */
static SEXP factor_result(int p, int r, int n_levels)
{
    size_t m = (size_t) p + 1, G = (size_t) n_levels, R = (size_t) r;
    const struct r_field f[3] = {
        {"zz", R * R * G, R_VECTOR}, {"z1", R * G, R_VECTOR}, {"zv", m, R * G}};
    return r_list(f, 3);
}

enum { HEAD, MEAN, CROSS, STATUS, N_FIELDS };

/* list(list(head, mean, cross, status), list of factor results). */
static SEXP gram_result(int p, int n_factors, const int *r, const int *n_levels)
{
    size_t m = (size_t) p + 1;
    const struct r_field f[N_FIELDS] = {[HEAD] = {"head", GRAM_HEAD, R_VECTOR},
                                        [MEAN] = {"mean", m, R_VECTOR},
                                        [CROSS] = {"cross", m, m},
                                        [STATUS] = {"status", 1, R_VECTOR}};
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(out, 0, r_list(f, N_FIELDS));
    SET_VECTOR_ELT(out, 1, Rf_allocVector(VECSXP, n_factors));
    for (int k = 0; k < n_factors; k++)
        SET_VECTOR_ELT(VECTOR_ELT(out, 1), k, factor_result(p, r[k], n_levels[k]));
    UNPROTECT(1);
    return out;
}

/* A factor of a Gram, checked: list(zz, z1, zv). */
static struct gram_factor gram_factor_view(SEXP x, int p, int r, int n_levels)
{
    R_xlen_t R = r, RG = R * n_levels;
    return (struct gram_factor){r, n_levels, (double *) r_dbl(x, "zz", R * RG),
                                (double *) r_dbl(x, "z1", RG),
                                (double *) r_dbl(x, "zv", (p + (R_xlen_t) 1) * RG)};
}

static struct gram gram_view(SEXP main, SEXP factors, int p, int n, const int *r,
                             const int *n_levels)
{
    struct gram g = {.p = p, .n_factors = r_as_list(factors, "factors", n)};
    R_xlen_t m = p + (R_xlen_t) 1;
    g.head = (double *) r_dbl(main, "head", GRAM_HEAD);
    g.mean = (double *) r_dbl(main, "mean", m);
    g.cross = (double *) r_dbl(main, "cross", m * m);
    g.factor = (struct gram_factor *) R_alloc((size_t) n + 1, sizeof(struct gram_factor));
    for (int k = 0; k < n; k++)
        g.factor[k] = gram_factor_view(VECTOR_ELT(factors, k), p, r[k], n_levels[k]);
    return g;
}

/* Coefficients and levels of a factor: their products must fit what R can hold. */
static void need_size(int p, double r, double n_levels)
{
    if (r * n_levels > INT_MAX || r * r * n_levels * (p + 2.0) > (double) R_XLEN_T_MAX)
        r_bad("n_levels");
}

/* rows: list(X, y, offset, w, factors), factors a list of list(code, z, r, n_levels); offset,
 * w and z may be NULL. */
static struct gram_rows gram_rows_view(SEXP rows)
{
    SEXP X = r_elt(rows, "X"), factors = r_elt(rows, "factors");
    struct gram_rows d = {.p = r_columns(X, "X", -1), .n = (size_t) Rf_nrows(X)};
    R_xlen_t n = (R_xlen_t) d.n;
    if (d.p >= R_MAX_SQUARE) r_bad("X");
    d.n_factors = r_as_list(factors, "factors", -1);
    d.X = REAL(X);
    d.y = r_dbl(rows, "y", n);
    d.offset = r_is_null(rows, "offset") ? NULL : r_dbl(rows, "offset", n);
    d.w = r_is_null(rows, "w") ? NULL : r_dbl(rows, "w", n);
    struct gram_factor_rows *f = (struct gram_factor_rows *) R_alloc(
        (size_t) d.n_factors + 1, sizeof(struct gram_factor_rows));
    for (int k = 0; k < d.n_factors; k++) {
        SEXP x = VECTOR_ELT(factors, k);
        f[k].r = r_int(x, "r", 1, R_MAX_SQUARE);
        f[k].n_levels = r_int(x, "n_levels", 0, INT_MAX - 1);
        need_size(d.p, f[k].r, f[k].n_levels);
        f[k].code = r_ints(x, "code", n);
        f[k].z = r_is_null(x, "z") ? NULL : r_dbl(x, "z", n * f[k].r);
        if (!f[k].z && f[k].r != 1) r_bad("z");
    }
    d.factor = f;
    return d;
}

/* Every code of a row that counts must be a level: the core does not look. */
static void check_codes(const struct gram_rows *d)
{
    for (int k = 0; k < d->n_factors; k++) {
        const struct gram_factor_rows *f = &d->factor[k];
        for (size_t i = 0; i < d->n; i++)
            if ((f->code[i] < 1 || f->code[i] > f->n_levels) && (!d->w || d->w[i] > 0))
                r_bad("code");
    }
}

SEXP C_gram(SEXP rows)
{
    const struct gram_rows d = gram_rows_view(rows);
    check_codes(&d);
    int *r = (int *) R_alloc((size_t) d.n_factors + 1, sizeof(int));
    int *levels = (int *) R_alloc((size_t) d.n_factors + 1, sizeof(int));
    for (int k = 0; k < d.n_factors; k++) {
        r[k] = d.factor[k].r;
        levels[k] = d.factor[k].n_levels;
    }
    SEXP out = PROTECT(gram_result(d.p, d.n_factors, r, levels));
    struct gram g =
        gram_view(VECTOR_ELT(out, 0), VECTOR_ELT(out, 1), d.p, d.n_factors, r, levels);
    double *scratch = (double *) R_alloc(gram_scratch(d.p), sizeof(double));
    struct r_poll poll = {R_NilValue, 0};
    struct core_hooks h = {r_poll_hook, &poll};
    r_out(VECTOR_ELT(out, 0), STATUS)[0] = (double) gram_accumulate(&d, &g, scratch, &h);
    UNPROTECT(1);
    return out;
}

/* The cross block of factors a and b (0-based) of the same rows: list(ptr, idx, val). */
SEXP C_gram_pair(SEXP rows, SEXP a, SEXP b)
{
    const struct gram_rows d = gram_rows_view(rows);
    int fa = r_as_int(a, "a", 0, d.n_factors - 1),
        fb = r_as_int(b, "b", 0, d.n_factors - 1);
    check_codes(&d);
    SEXP out = PROTECT(Rf_allocVector(VECSXP, 3));
    SET_VECTOR_ELT(out, 0, Rf_allocVector(INTSXP, (R_xlen_t) d.factor[fa].n_levels + 1));
    int *ptr = INTEGER(VECTOR_ELT(out, 0));
    int *order = (int *) R_alloc(d.n + 1, sizeof(int));
    int *mark = (int *) R_alloc((size_t) d.factor[fb].n_levels + 1, sizeof(int));
    gram_pair_pattern(&d, fa, fb, ptr, NULL, order, mark);
    R_xlen_t pairs = ptr[d.factor[fa].n_levels];
    SET_VECTOR_ELT(out, 1, Rf_allocVector(INTSXP, pairs));
    R_xlen_t size = pairs * d.factor[fa].r * d.factor[fb].r;
    SET_VECTOR_ELT(out, 2, Rf_allocVector(REALSXP, size));
    int *idx = INTEGER(VECTOR_ELT(out, 1));
    double *val = REAL(VECTOR_ELT(out, 2));
    memset(val, 0, sizeof(double) * (size_t) size);
    gram_pair_pattern(&d, fa, fb, ptr, idx, order, mark);
    gram_pair_values(&d, fa, fb, ptr, idx, val);
    UNPROTECT(1);
    return out;
}

/* One of the Grams to be merged: list(main, factors). *map gets where the levels of each factor go. */
static struct gram r_gram(SEXP x, SEXP maps, int p, int n, const int *r,
                          const int *n_levels, const int ***map)
{
    r_as_list(x, "gram", 2);
    r_as_list(maps, "map", n);
    const int **to = *map = (const int **) R_alloc((size_t) n + 1, sizeof(int *));
    int *levels = (int *) R_alloc((size_t) n + 1, sizeof(int));
    for (int f = 0; f < n; f++) {
        SEXP m = VECTOR_ELT(maps, f);
        to[f] = r_as_ints(m, "map", -1);
        if (Rf_xlength(m) > INT_MAX) r_bad("map");
        levels[f] = Rf_length(m);
        r_in_range(to[f], levels[f], 0, n_levels[f] - 1, "map");
    }
    return gram_view(VECTOR_ELT(x, 0), VECTOR_ELT(x, 1), p, n, r, levels);
}

/* The sum of Grams a and b, each list(main, factors), over factors with r[k] coefficients and
 * n_levels[k] levels; level k of factor f of a is level map_a[[f]][k] (0-based). */
SEXP C_gram_merge(SEXP a, SEXP b, SEXP map_a, SEXP map_b, SEXP r, SEXP n_levels)
{
    r_as_list(a, "gram", 2);
    SEXP mean = r_elt(VECTOR_ELT(a, 0), "mean");
    r_as_dbl(mean, "mean", -1);
    if (Rf_xlength(mean) < 1 || Rf_xlength(mean) > R_MAX_SQUARE) r_bad("mean");
    const int *coef = r_as_ints(r, "r", -1);
    int p = Rf_length(mean) - 1, n = Rf_length(r);
    const int *levels = r_as_ints(n_levels, "n_levels", n);
    r_in_range(coef, n, 1, R_MAX_SQUARE, "r");
    r_in_range(levels, n, 0, INT_MAX - 1, "n_levels");
    for (int f = 0; f < n; f++) need_size(p, coef[f], levels[f]);
    const int **map[2];
    const struct gram part[2] = {r_gram(a, map_a, p, n, coef, levels, &map[0]),
                                 r_gram(b, map_b, p, n, coef, levels, &map[1])};
    SEXP out = PROTECT(gram_result(p, n, coef, levels));
    struct gram g = gram_view(VECTOR_ELT(out, 0), VECTOR_ELT(out, 1), p, n, coef, levels);
    double *scratch = (double *) R_alloc(2 * ((size_t) p + 1), sizeof(double));
    for (int k = 0; k < 2; k++) gram_merge(&g, &part[k], map[k], scratch);
    UNPROTECT(1);
    return out;
}

/* Group codes of a 1-based integer vector with at most n_levels levels: list(codes, used)
 * where used are the levels that occur in a row of positive weight, in order, and codes are
 * renumbered to them (0 becomes NA, rows of an unused level too). */
SEXP C_group_codes(SEXP x, SEXP w, SEXP n_levels)
{
    const int *xi = r_as_ints(x, "x", -1);
    R_xlen_t n = Rf_xlength(x);
    int L = r_as_int(n_levels, "n_levels", 0, INT_MAX - 1), used = 0;
    const double *wi = w == R_NilValue ? NULL : r_as_dbl(w, "w", n);
    int *map = (int *) R_alloc((size_t) L + 1, sizeof(int));
    memset(map, 0, sizeof(int) * ((size_t) L + 1));
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
