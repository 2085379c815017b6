/* test_vae.c: slopes of the autoencoder and of the Bayesian network against differences; each row's
 * own q where it is known; training. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "network/bnn.h"
#include "network/vae.h"
#include "support.h"

enum { ROWS = 7, P = 3, Q = 2 };

static const int dec_size[3] = {Q, 4, P}, enc_size[3] = {P, 4, 2 * Q}, lin_in[2] = {P, Q},
                 lin_out[2] = {Q, P};
static const enum mlp_activation bent[2] = {MLP_TANH, MLP_LINEAR}, flat[1] = {MLP_LINEAR};

static struct vae model(enum vae_encoder encoder, const double *X)
{
    struct vae v = {.n = ROWS, .p = P, .q = Q, .encoder = encoder, .X = X};
    v.enc = encoder == VAE_LINEAR ? (struct mlp_shape){1, lin_in, flat}
                                  : (struct mlp_shape){2, enc_size, bent};
    v.dec = (struct mlp_shape){2, dec_size, bent};
    return v;
}

static struct vae_work work_of(const struct vae *v, const struct vae_control *ctl)
{
    struct arena size = {NULL, 0};
    vae_work_carve(v, ctl, &size);
    struct arena a = arena_of(size.used);
    return vae_work_carve(v, ctl, &a);
}

static void test_slope(enum vae_encoder encoder)
{
    double *X = normals(ROWS * P);
    struct vae v = model(encoder, X);
    const struct vae_control ctl = {1, ROWS, 1, .01, .01, 1e3};
    struct vae_work k = work_of(&v, &ctl);
    size_t n = vae_n_params(&v);
    double *w = normals(n), *e = normals(ROWS * Q), *q = normals(2 * ROWS * Q);
    memcpy(k.x, X, sizeof(double) * ROWS * P);
    memcpy(k.e, e, sizeof(double) * ROWS * Q);
    memcpy(k.q, q, sizeof(double) * 2 * ROWS * Q);
    vae_slope(&v, w, ROWS, &k);
    double *slope = copy(n, k.slope), h = 1e-5;
    for (size_t j = 0; j < n; j++) {
        double was = w[j];
        w[j] = was + h;
        double up = vae_slope(&v, w, ROWS, &k);
        w[j] = was - h;
        double down = vae_slope(&v, w, ROWS, &k);
        w[j] = was;
        CHECK_NEAR(slope[j], (up - down) / (2 * h), 1e-6 * (1 + fabs(slope[j])));
    }
}

/* A linear decoder with orthogonal columns: the posterior is normal and factorised. */
static void test_own(void)
{
    double *X = normals(ROWS * P), w[10] = {2, 0, 1, 0, 3, 0, .1, -.2, .3, log(.5)};
    const double r2 = sqrt(2), e[8] = {r2, 0, -r2, 0, 0, r2, 0, -r2},
                 weight[4] = {.25, .25, .25, .25};
    const struct vae_points pts = {4, e, weight};
    struct vae v = model(VAE_NONE, X);
    v.dec = (struct mlp_shape){1, lin_out, flat};
    CHECK(vae_n_params(&v) == 10);
    struct arena size = {NULL, 0};
    vae_own_carve(&v, VAE_ROWS, &size);
    struct arena a = arena_of(size.used);
    struct vae_own o = vae_own_carve(&v, VAE_ROWS, &a);
    double *m = normals(ROWS * Q), *log_s = normals(ROWS * Q), elbo[ROWS];
    CHECK(vae_own_run(&v, w, &pts, 200, 1e-12, m, log_s, elbo, &o, NULL) == CORE_OK);
    const double diagonal[Q] = {5, 9}; /* W'W */
    for (int i = 0; i < ROWS; i++) {
        double log_p = -P * log(2 * 3.141592653589793) / 2, ss = 0;
        for (int j = 0; j < P; j++) ss += pow(AT(X, j, i, P) - w[6 + j], 2);
        for (int j = 0; j < Q; j++) {
            double M = diagonal[j] + .25, wr = 0;
            for (int l = 0; l < P; l++) wr += w[j * P + l] * (AT(X, l, i, P) - w[6 + l]);
            CHECK_NEAR(AT(m, j, i, Q), wr / M, 1e-5);
            CHECK_NEAR(AT(log_s, j, i, Q), log(.25 / M) / 2, 1e-5);
            ss -= wr * wr / M;
            log_p -= log(M) / 2;
        }
        log_p -= (P - Q) * log(.25) / 2 + ss / .25 / 2;
        CHECK_NEAR(elbo[i], log_p, 1e-9);
    }
}

static int stop_at_once(void *ctx, int done)
{
    (void) ctx;
    (void) done;
    return 1;
}

/* The bound rises; a poll stops; a bound that is no number is told of. */
static void test_train(enum vae_encoder encoder)
{
    double *X = normals(ROWS * P), trace[2 * 200];
    const double r2 = sqrt(2), e[8] = {r2, 0, -r2, 0, 0, r2, 0, -r2},
                 weight[4] = {.25, .25, .25, .25};
    const struct vae_points pts = {4, e, weight};
    for (int j = 0; j < ROWS; j++) AT(X, 1, j, P) = 3 * AT(X, 0, j, P);
    struct vae v = model(encoder, X);
    struct vae_control ctl = {200, 3, 1, .02, .001, 1e3};
    struct vae_work k = work_of(&v, &ctl);
    double *w = normals(vae_n_params(&v)), *m = normals(ROWS * Q),
           *log_s = normals(ROWS * Q);
    struct core_info info = {0, -1};
    CHECK(vae_train(&v, &ctl, &pts, w, m, log_s, trace, &k, NULL, &info) == CORE_OK);
    CHECK(info.iter == 200);
    CHECK(trace[2 * 199] > trace[0] + 1);
    const struct core_hooks hooks = {stop_at_once, NULL};
    CHECK(vae_train(&v, &ctl, &pts, w, m, log_s, trace, &k, &hooks, &info) ==
          CORE_INTERRUPTED);
    w[vae_n_params(&v) - 1] = -1000;
    CHECK(vae_train(&v, &ctl, &pts, w, m, log_s, trace, &k, NULL, &info) ==
          CORE_NONFINITE);
}

static void test_bnn(enum bnn_family family, bool learned)
{
    const int one[3] = {P, 4, 1}, three[3] = {P, 4, 3};
    double *x = normals(ROWS * P), *y = normals(ROWS);
    for (int i = 0; family != BNN_GAUSSIAN && i < ROWS; i++)
        y[i] = i % (family == BNN_BINOMIAL ? 2 : 3);
    struct bnn b = {.n = ROWS,
                    .family = family,
                    .x = x,
                    .y = y,
                    .prior_sd = .7,
                    .learned = learned,
                    .log_sigma = .2,
                    .df = 4,
                    .scale = 1.5};
    b.net = (struct mlp_shape){2, family == BNN_CATEGORICAL ? three : one, bent};
    struct arena size = {NULL, 0};
    bnn_work_carve(&b, &size);
    struct arena a = arena_of(size.used);
    struct bnn_work k = bnn_work_carve(&b, &a);
    size_t d = bnn_dim(&b);
    CHECK(d == mlp_n_weights(&b.net) + (learned ? 1 : 0));
    double *z = normals(d), *g = nans(d), *other = nans(d), h = 1e-5;
    bnn_log_density(&b, z, g, &k);
    for (size_t j = 0; j < d; j++) {
        double was = z[j];
        z[j] = was + h;
        double up = bnn_log_density(&b, z, other, &k);
        z[j] = was - h;
        double down = bnn_log_density(&b, z, other, &k);
        z[j] = was;
        CHECK_NEAR(g[j], (up - down) / (2 * h), 1e-6 * (1 + fabs(g[j])));
    }
    double *zero = nans(d); /* all weights zero: the density is known */
    memset(zero, 0, sizeof(double) * d);
    double lp = bnn_log_lik(&b, zero, 0, NULL, NULL, &k), want = 0;
    for (int i = 0; i < ROWS; i++)
        want += family == BNN_GAUSSIAN ? -log(2 * 3.141592653589793) / 2 - y[i] * y[i] / 2
                : family == BNN_BINOMIAL ? -log(2)
                                         : -log(3);
    CHECK_NEAR(lp, want, 1e-12);
}

void test_vae(void)
{
    test_slope(VAE_NETWORK);
    test_slope(VAE_LINEAR);
    test_slope(VAE_NONE);
    test_own();
    test_train(VAE_NETWORK);
    test_train(VAE_NONE);
    test_bnn(BNN_GAUSSIAN, false);
    test_bnn(BNN_GAUSSIAN, true);
    test_bnn(BNN_BINOMIAL, false);
    test_bnn(BNN_CATEGORICAL, false);
}
