/* test_transform.c: maps against their inverses, Jacobians and pulled gradients against differences. */
#include <math.h>
#include "blackbox/transform.h"
#include "check.h"
#include "support.h"

struct block {
    struct transform t;
    int free, full;
    double *work;
};

static struct block block_of(enum transform_kind kind, int size)
{
    struct block b = {.t = {kind, size, NULL, NULL}};
    b.free = transform_free(&b.t);
    b.full = transform_full(&b.t);
    double *low = nans((size_t) b.full), *high = nans((size_t) b.full);
    for (int i = 0; i < b.full; i++) {
        low[i] = -1 - i;
        high[i] = 2 + i;
    }
    b.t.low = low;
    b.t.high = high;
    b.work = nans((size_t) transform_work(&b.t));
    return b;
}

static double *coordinates(const struct block *b, double size)
{
    double *y = normals((size_t) b->free);
    for (int i = 0; i < b->free; i++) y[i] *= size;
    return y;
}

/* A density on x and its gradient; lp = sum_i sin(i) x_i + log |J|. */
static double log_density(const struct block *b, const double *y)
{
    double *x = nans((size_t) b->full), lp = transform_map(&b->t, y, x, b->work);
    for (int i = 0; i < b->full; i++) lp += sin(i) * x[i];
    return lp;
}

static void check_pull(const struct block *b)
{
    double *y = coordinates(b, 0.7), *dx = nans((size_t) b->full),
           *dy = nans((size_t) b->free);
    for (int i = 0; i < b->full; i++) dx[i] = sin(i);
    transform_pull(&b->t, y, dx, dy, b->work);
    for (int i = 0; i < b->free; i++) {
        double at = y[i], h = 1e-5, up, down;
        y[i] = at + h;
        up = log_density(b, y);
        y[i] = at - h;
        down = log_density(b, y);
        y[i] = at;
        CHECK_NEAR(dy[i], (up - down) / (2 * h), 1e-7);
    }
}

static void check_inverse(const struct block *b)
{
    double *y = coordinates(b, 1), *x = nans((size_t) b->full),
           *back = nans((size_t) b->free);
    transform_map(&b->t, y, x, b->work);
    transform_invert(&b->t, x, back, b->work);
    for (int i = 0; i < b->free; i++) CHECK_NEAR(back[i], y[i], 1e-9);
}

static void check_far(const struct block *b)
{
    const double size[] = {40, 1000, 1e300};
    double *x = nans((size_t) b->full);
    for (int k = 0; k < 3; k++)
        CHECK(!isnan(transform_map(&b->t, coordinates(b, size[k]), x, b->work)));
}

static void check_block(enum transform_kind kind, int size)
{
    struct block b = block_of(kind, size);
    check_pull(&b);
    check_inverse(&b);
    check_far(&b);
}

/* Two numbers whose Jacobian is written out. */
static void check_known(void)
{
    double y[] = {0.3}, x[4];
    struct block b = block_of(TRANSFORM_SIMPLEX, 2);
    double g = 1 / (1 + exp(-0.3));
    CHECK_NEAR(transform_map(&b.t, y, x, b.work), log(g * (1 - g)), 1e-14);
    CHECK_NEAR(x[0], g, 1e-14);
    b = block_of(TRANSFORM_CORRELATION, 2);
    CHECK_NEAR(transform_map(&b.t, y, x, b.work), log(1 - pow(tanh(0.3), 2)), 1e-14);
    CHECK_NEAR(x[1], tanh(0.3), 1e-14);
    b = block_of(TRANSFORM_COVARIANCE, 1);
    CHECK_NEAR(transform_map(&b.t, y, x, b.work), log(2) + 0.6, 1e-14);
    CHECK_NEAR(x[0], exp(0.6), 1e-14);
}

static void check_not_pd(void)
{
    struct block b = block_of(TRANSFORM_COVARIANCE, 2);
    double x[] = {1, 2, 2, 1}, y[3];
    transform_invert(&b.t, x, y, b.work);
    CHECK(isnan(y[0]) && isnan(y[2]));
}

void test_transform(void)
{
    for (int kind = TRANSFORM_NONE; kind < TRANSFORM_KINDS; kind++)
        for (int size = kind == TRANSFORM_SIMPLEX ? 2 : 1; size < 6; size++)
            check_block((enum transform_kind) kind, size);
    check_known();
    check_not_pd();
}
