/* r_vb.h: the list that a variational fit returns, whatever its q(theta). */
#ifndef MEANFIELD_R_VB_H
#define MEANFIELD_R_VB_H

#include "engine/vb.h"
#include "glue/r_util.h"

/* list(result, status), all zero; the caller PROTECTs it. */
SEXP r_vb_new(const struct lmm *m, int trace_rows);

/* Views of its result, t from `start`; lr.work is still missing. */
struct vb_state r_vb_view(SEXP out, const double *start, int q);

/* What is not a view: the bound, whether there is a response, and how it ended. */
void r_vb_close(SEXP out, const struct vb_state *s, enum core_status st,
                const struct core_info *info);

struct vb_control r_vb_control(SEXP control);

#endif
