/* sampler.c: see sampler.h. */
#include "engine/sampler.h"

enum core_status sampler_run(const struct sampler *s, const struct sampler_control *ctl,
                             const struct core_hooks *h, struct core_info *info)
{
    int kept = 0;
    info->iter = 0;
    enum core_status st = s->start ? s->start(s->ctx, info) : CORE_OK;
    if (st) return st;
    for (; info->iter < ctl->iter; info->iter++) {
        if (core_stop(h, info->iter)) return CORE_INTERRUPTED;
        st = s->sweep(s->ctx, info);
        if (st) return st;
        int past = info->iter + 1 - ctl->warmup;
        if (past > 0 && past % ctl->thin == 0) s->keep(s->ctx, kept++);
    }
    return CORE_OK;
}
