/* blas.h: the one place that includes R's BLAS and LAPACK headers. */
#ifndef MEANFIELD_BLAS_H
#define MEANFIELD_BLAS_H

#ifndef USE_FC_LEN_T
#define USE_FC_LEN_T
#endif
#include <Rconfig.h>
#include <R_ext/BLAS.h>
#include <R_ext/Lapack.h>
#ifndef FCONE
#define FCONE
#endif

#endif
