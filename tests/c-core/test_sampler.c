/* test_sampler.c: the runner of chains, with a chain that only counts. */
#include "check.h"
#include "engine/sampler.h"

struct counter {
    int started, sweeps, kept, kept_at; /* kept_at: sweeps done at the first row */
    int fail_at;                        /* sweep that fails, from 0; -1: none     */
    enum core_status start_status;
};

static enum core_status start(void *ctx, struct core_info *info)
{
    struct counter *c = ctx;
    CHECK(info->iter == 0 && c->sweeps == 0);
    c->started++;
    return c->start_status;
}

static enum core_status sweep(void *ctx, struct core_info *info)
{
    struct counter *c = ctx;
    CHECK(info->iter == c->sweeps);
    return c->sweeps++ == c->fail_at ? CORE_NONFINITE : CORE_OK;
}

static void keep(void *ctx, int row)
{
    struct counter *c = ctx;
    CHECK(row == c->kept);
    if (c->kept++ == 0) c->kept_at = c->sweeps;
}

static int stop_at(void *ctx, int done) { return done == *(int *) ctx; }

static enum core_status run(struct counter *c, bool starts, struct sampler_control ctl,
                            const struct core_hooks *h, struct core_info *info)
{
    const struct sampler s = {c, starts ? start : NULL, sweep, keep};
    return sampler_run(&s, &ctl, h, info);
}

void test_sampler(void)
{
    struct core_info info = {7, -1};
    struct counter c = {.fail_at = -1};
    struct sampler_control ctl = {20, 5, 4};
    CHECK(run(&c, true, ctl, NULL, &info) == CORE_OK);
    CHECK(c.started == 1 && c.sweeps == 20 && info.iter == 20);
    CHECK(c.kept == 3 && c.kept == sampler_kept(&ctl) && c.kept_at == 9);
    c = (struct counter){.fail_at = 6};
    ctl = (struct sampler_control){20, 0, 1};
    CHECK(run(&c, false, ctl, NULL, &info) == CORE_NONFINITE);
    CHECK(c.started == 0 && info.iter == 6 && c.kept == 6); /* a bad state is not kept */
    c = (struct counter){.fail_at = -1, .start_status = CORE_NOT_PD_LEAF};
    CHECK(run(&c, true, ctl, NULL, &info) == CORE_NOT_PD_LEAF && c.sweeps == 0);
    int at = 3;
    struct core_hooks h = {stop_at, &at};
    c = (struct counter){.fail_at = -1};
    CHECK(run(&c, true, ctl, &h, &info) == CORE_INTERRUPTED);
    CHECK(c.sweeps == 3 && info.iter == 3);
}
