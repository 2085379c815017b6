/* r_limits.c: what the core has room for, for R to refuse by name what is larger. */
#include "base/lanes.h"
#include "engine/lmm_exact_lanes.h"
#include "engine/nest.h"
#include "mixture/gmm.h"
#include "model/glmm.h"
#include "topics/lda.h"
#include "glue/r_util.h"

/* A named vector: precisions, coefficients of a term (of a factor, in a generalised model), factors
 * beside the leaf there; dimensions of a mode and of a lattice; components and columns of a mixture;
 * coefficients of a leaf whose points are valued in lanes (0: none are here); topics. */
SEXP C_limits(void)
{
    const struct {
        const char *name;
        int most;
    } limit[] = {{"precisions", LMM_MAX_PREC},
                 {"coefficients", VECH_MAX_R},
                 {"other_factors", GLMM_MAX_FACTORS},
                 {"mode", NEST_MAX_D},
                 {"lattice", LATTICE_MAX_D},
                 {"components", GMM_MAX_K},
                 {"columns", GMM_MAX_P},
                 {"in_lanes", lanes_here() ? LMM_EXACT_LANES_MAX_R : 0},
                 {"topics", LDA_MAX_K}};
    enum { N = sizeof limit / sizeof *limit };
    SEXP out = PROTECT(Rf_allocVector(INTSXP, N)),
         names = PROTECT(Rf_allocVector(STRSXP, N));
    for (int i = 0; i < N; i++) {
        INTEGER(out)[i] = limit[i].most;
        SET_STRING_ELT(names, i, Rf_mkChar(limit[i].name));
    }
    Rf_setAttrib(out, R_NamesSymbol, names);
    UNPROTECT(2);
    return out;
}
