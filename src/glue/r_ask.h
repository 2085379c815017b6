/* r_ask.h: puts an asker's questions to an R function. */
#ifndef MEANFIELD_R_ASK_H
#define MEANFIELD_R_ASK_H

#include "blackbox/asker.h"
#include "glue/r_util.h"

/* evaluate: an R function of (d x n matrix of points, logical: gradient too?), which returns
 * list(lp (n), gradient (d x n, or NULL)). Runs until the asker has its answer or a status is not
 * CORE_OK; CORE_DEAR before more than max_points points in all would be asked for. *asked: how many
 * were.
 *
 * The function may jump (an R error, Ctrl-C): all memory of the asker must be R's (R_ARENA, results),
 * and nothing may be held. R's generator is open only while take() runs, which cannot jump. */
enum core_status r_ask(struct asker *a, SEXP evaluate, double max_points, double *asked);

/* list(result, c(status, iter, -1)) of an asker that has ended; protects what it is given. */
SEXP r_ask_ended(SEXP result, enum core_status st, int iter);

#endif
