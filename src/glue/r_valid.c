/* r_valid.c: shapes of a list's elements, for valid_fit() in R, where a loop would cost as much as a
 * small fit. */
#include "glue/r_util.h"

/* Of very many numbers not all are looked at: the method that asks would be slower for it. */
enum { MOST_LOOKED_AT = 1000000 };

static bool has_dim(SEXP x, SEXP want)
{
    int d = Rf_length(want);
    const int *size = INTEGER(want);
    if (d == 1) return Rf_xlength(x) == size[0];
    SEXP dim = Rf_getAttrib(x, R_DimSymbol);
    if (TYPEOF(dim) != INTSXP || Rf_length(dim) != d) return false;
    for (int i = 0; i < d; i++)
        if (INTEGER(dim)[i] != size[i]) return false;
    return true;
}

static bool all_finite(SEXP x)
{
    R_xlen_t n = Rf_xlength(x);
    if (n > MOST_LOOKED_AT) return true;
    if (TYPEOF(x) == REALSXP) return r_all_finite(REAL(x), n);
    for (R_xlen_t i = 0; i < n; i++)
        if (INTEGER(x)[i] == NA_INTEGER) return false;
    return true;
}

/* shape: named list of integer vectors, a length or dimensions each. The 1-based position of the first
 * of them that the element of x of that name has not, or is not made of (finite) numbers; 0: none. */
SEXP C_misshapen(SEXP x, SEXP shape, SEXP finite)
{
    int n = r_as_list(shape, "shape", -1);
    bool look = r_as_flag(finite, "finite");
    SEXP names = Rf_getAttrib(shape, R_NamesSymbol);
    if (n && TYPEOF(names) != STRSXP) r_bad("shape");
    for (int i = 0; i < n; i++) {
        SEXP want = VECTOR_ELT(shape, i);
        if (TYPEOF(want) != INTSXP || Rf_length(want) < 1) r_bad("shape");
        if (TYPEOF(x) != VECSXP) return Rf_ScalarInteger(i + 1);
        SEXP e = r_find(x, CHAR(STRING_ELT(names, i)));
        bool numbers =
            e && (TYPEOF(e) == REALSXP || TYPEOF(e) == INTSXP) && !Rf_isObject(e);
        if (!numbers || !has_dim(e, want) || (look && !all_finite(e)))
            return Rf_ScalarInteger(i + 1);
    }
    return Rf_ScalarInteger(0);
}
