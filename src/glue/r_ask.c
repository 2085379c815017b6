/* r_ask.c: see r_ask.h. */
#include <string.h>
#include "glue/r_ask.h"

/* list(lp, gradient) of the asker's points; the caller PROTECTs it. */
static SEXP answers(const struct asker *a, SEXP evaluate)
{
    SEXP z = PROTECT(Rf_allocMatrix(REALSXP, a->d, a->n));
    memcpy(REAL(z), a->z, sizeof(double) * (size_t) a->d * (size_t) a->n);
    SEXP gradient = PROTECT(Rf_ScalarLogical(a->gradient));
    SEXP call = PROTECT(Rf_lang3(evaluate, z, gradient));
    SEXP out = Rf_eval(call, R_GlobalEnv);
    UNPROTECT(3);
    return out;
}

static enum core_status give(struct asker *a, SEXP answer)
{
    r_as_list(answer, "answer", -1);
    const double *lp = r_dbl(answer, "lp", a->n);
    const double *g =
        a->gradient ? r_dbl(answer, "gradient", (R_xlen_t) a->d * a->n) : NULL;
    if (a->random) GetRNGstate();
    enum core_status st = a->take(a, lp, g);
    if (a->random) PutRNGstate();
    return st;
}

enum core_status r_ask(struct asker *a, SEXP evaluate, double max_points, double *asked)
{
    enum core_status st = CORE_OK;
    *asked = 0;
    while (st == CORE_OK && a->n > 0) {
        if (*asked + a->n > max_points) return CORE_DEAR;
        *asked += a->n;
        SEXP answer = PROTECT(answers(a, evaluate));
        st = give(a, answer);
        UNPROTECT(1);
    }
    return st;
}

SEXP r_ask_ended(SEXP result, enum core_status st, int iter)
{
    SEXP out = PROTECT(r_with_status(result));
    const struct core_info info = {iter, -1};
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}
