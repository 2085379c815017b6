/* r_transform.c: glue of the transforms, for blocks of points. */
#include <limits.h>
#include <string.h>
#include "blackbox/transform.h"
#include "glue/r_util.h"

/* Blocks one after the other; d, full: numbers of all. */
struct layout {
    int n, d, full, work;
    struct transform *block;
};

/* The largest block, so that its square and the sums below are ints. */
enum { MOST = 20000 };

/* shape: list(kind, size, low, high), of transform.h, the bounds for all numbers of x. */
static struct layout r_layout(SEXP shape)
{
    const int *kind = r_ints(shape, "kind", -1);
    R_xlen_t n = Rf_xlength(r_elt(shape, "kind"));
    const int *size = r_ints(shape, "size", n);
    r_in_range(kind, n, 0, TRANSFORM_KINDS - 1, "kind");
    r_in_range(size, n, 1, INT_MAX / 8, "size");
    SEXP bounds = r_elt(shape, "low");
    const double *low = r_dbl(shape, "low", -1), *high = r_dbl(shape, "high", -1);
    struct layout l = {.n = (int) n};
    l.block = (struct transform *) R_alloc((size_t) n, sizeof(struct transform));
    for (int b = 0; b < l.n; b++) {
        struct transform t = {kind[b], size[b], low + l.full, high + l.full};
        if (t.kind >= TRANSFORM_SIMPLEX && t.size > MOST) r_bad("size");
        if (transform_full(&t) > INT_MAX / 2 - l.full) r_bad("size");
        l.d += transform_free(&t);
        l.full += transform_full(&t);
        if (transform_work(&t) > l.work) l.work = transform_work(&t);
        l.block[b] = t;
    }
    if (Rf_xlength(bounds) != l.full || Rf_xlength(r_elt(shape, "high")) != l.full)
        r_bad("low");
    return l;
}

static double *r_work(const struct layout *l)
{
    return (double *) R_alloc((size_t) l->work, sizeof(double));
}

static double map_point(const struct layout *l, const double *y, double *x, double *work)
{
    double lj = 0;
    for (int b = 0; b < l->n; b++) {
        lj += transform_map(l->block + b, y, x, work);
        y += transform_free(l->block + b);
        x += transform_full(l->block + b);
    }
    return lj;
}

/* Z: d x n. Returns list(x (full x n), log_jacobian). */
SEXP C_bb_transform(SEXP shape, SEXP Z)
{
    struct layout l = r_layout(shape);
    size_t n = (size_t) r_columns(Z, "Z", l.d), d = (size_t) l.d, full = (size_t) l.full;
    const struct r_field f[] = {{"x", full, n}, {"log_jacobian", n, R_VECTOR}};
    SEXP out = PROTECT(r_list(f, 2));
    double *x = r_out(out, 0), *lj = r_out(out, 1), *work = r_work(&l);
    for (size_t i = 0; i < n; i++)
        lj[i] = map_point(&l, REAL(Z) + i * d, x + i * full, work);
    UNPROTECT(1);
    return out;
}

/* G: derivatives by x, full x n. Returns those by Z of the density with its Jacobian. */
SEXP C_bb_pull(SEXP shape, SEXP Z, SEXP G)
{
    struct layout l = r_layout(shape);
    int n = r_columns(Z, "Z", l.d);
    if (r_columns(G, "G", l.full) != n) r_bad("G");
    SEXP out = PROTECT(Rf_allocMatrix(REALSXP, l.d, n));
    const double *y = REAL(Z), *dx = REAL(G);
    double *dy = REAL(out), *work = r_work(&l);
    for (int i = 0; i < n; i++)
        for (int b = 0; b < l.n; b++) {
            transform_pull(l.block + b, y, dx, dy, work);
            y += transform_free(l.block + b);
            dy += transform_free(l.block + b);
            dx += transform_full(l.block + b);
        }
    UNPROTECT(1);
    return out;
}

/* x: full numbers. Returns the d coordinates. */
SEXP C_bb_untransform(SEXP shape, SEXP x)
{
    struct layout l = r_layout(shape);
    const double *from = r_as_dbl(x, "x", l.full);
    SEXP out = PROTECT(Rf_allocVector(REALSXP, l.d));
    double *y = REAL(out), *work = r_work(&l);
    for (int b = 0; b < l.n; b++) {
        transform_invert(l.block + b, from, y, work);
        y += transform_free(l.block + b);
        from += transform_full(l.block + b);
    }
    UNPROTECT(1);
    return out;
}

/* A list as the skeleton, with its numbers from x. */
static SEXP filled(SEXP skeleton, SEXP names, const double *x)
{
    R_xlen_t k = Rf_xlength(skeleton);
    SEXP p = PROTECT(Rf_allocVector(VECSXP, k));
    Rf_setAttrib(p, R_NamesSymbol, names);
    for (R_xlen_t j = 0; j < k; j++) {
        SEXP one = Rf_duplicate(VECTOR_ELT(skeleton, j));
        SET_VECTOR_ELT(p, j, one);
        memcpy(REAL(one), x, sizeof(double) * (size_t) Rf_xlength(one));
        x += Rf_xlength(one);
    }
    UNPROTECT(1);
    return p;
}

static R_xlen_t r_skeleton_size(SEXP skeleton)
{
    R_xlen_t full = 0;
    r_as_list(skeleton, "skeleton", -1);
    for (R_xlen_t j = 0; j < Rf_xlength(skeleton); j++) {
        if (TYPEOF(VECTOR_ELT(skeleton, j)) != REALSXP) r_bad("skeleton");
        full += Rf_xlength(VECTOR_ELT(skeleton, j));
    }
    return full;
}

/* skeleton: a named list of doubles, x: a column of all its numbers per point. Returns a list with a
 * copy of the skeleton for each. */
SEXP C_bb_points(SEXP skeleton, SEXP x)
{
    R_xlen_t full = r_skeleton_size(skeleton);
    if (full > INT_MAX) r_bad("skeleton");
    int n = r_columns(x, "x", (int) full);
    SEXP names = PROTECT(Rf_getAttrib(skeleton, R_NamesSymbol));
    SEXP out = PROTECT(Rf_allocVector(VECSXP, n));
    for (int i = 0; i < n; i++)
        SET_VECTOR_ELT(out, i, filled(skeleton, names, REAL(x) + i * full));
    UNPROTECT(2);
    return out;
}
