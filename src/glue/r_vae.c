/* r_vae.c: glue of the variational autoencoders. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include "network/vae.h"
#include "glue/r_network.h"

static bool fits(const struct mlp_shape *s, int in, int out)
{
    return s->size[0] == in && s->size[s->n_layers] == out;
}

/* core: list(X (p x n), q, encoder (a code), enc, dec (layers)). */
static struct vae r_vae(SEXP core)
{
    SEXP X = r_elt(core, "X");
    struct vae v = {.n = r_columns(X, "X", -1),
                    .p = Rf_nrows(X),
                    .q = r_int(core, "q", 1, R_MAX_SQUARE / 2),
                    .encoder =
                        (enum vae_encoder) r_int(core, "encoder", VAE_NETWORK, VAE_NONE)};
    v.X = r_as_finite(X, "X", -1);
    v.dec = r_network_layers(r_elt(core, "dec"));
    if (v.n < 1 || v.p < 1 || !fits(&v.dec, v.q, v.p)) r_bad("dec");
    if (v.encoder == VAE_NONE) return v;
    v.enc = r_network_layers(r_elt(core, "enc"));
    if (!fits(&v.enc, v.p, v.encoder == VAE_LINEAR ? v.q : 2 * v.q)) r_bad("enc");
    return v;
}

/* points: list(e (q x n), weight (n)). */
static struct vae_points r_points(SEXP points, int q)
{
    SEXP e = r_elt(points, "e");
    struct vae_points p = {.n = r_columns(e, "e", q)};
    if (p.n < 1) r_bad("e");
    p.e = r_as_finite(e, "e", -1);
    p.weight = r_finite(points, "weight", p.n);
    return p;
}

static const double *r_start(SEXP w, const struct vae *v)
{
    return r_as_finite(w, "w", (R_xlen_t) vae_n_params(v));
}

/* own: list(m, log_s), q x n each. */
static void copy_own(SEXP own, const struct vae *v, double *m, double *log_s)
{
    R_xlen_t n = (R_xlen_t) v->q * v->n;
    memcpy(m, r_finite(own, "m", n), sizeof(double) * (size_t) n);
    memcpy(log_s, r_finite(own, "log_s", n), sizeof(double) * (size_t) n);
}

enum { M, LOG_S, ELBO, N_OWN };

/* Each row's own q. own: start; control: list(max_iter, tol). Returns
 * list(list(m, log_s, elbo), status). */
SEXP C_vae_own(SEXP core, SEXP w, SEXP points, SEXP own, SEXP control)
{
    const struct vae v = r_vae(core);
    const struct vae_points pts = r_points(points, v.q);
    const double *weights = r_start(w, &v);
    int max_iter = r_int(control, "max_iter", 0, INT_MAX - 1);
    double tol = r_num(control, "tol", 0, DBL_MAX);
    size_t q = (size_t) v.q, n = (size_t) v.n;
    const struct r_field f[N_OWN] = {
        [M] = {"m", q, n}, [LOG_S] = {"log_s", q, n}, [ELBO] = {"elbo", n, R_VECTOR}};
    SEXP out = PROTECT(r_with_status(r_list(f, N_OWN))), res = VECTOR_ELT(out, 0);
    copy_own(own, &v, r_out(res, M), r_out(res, LOG_S));
    struct vae_own work;
    R_ARENA (a) {
        work = vae_own_carve(&v, VAE_ROWS, &a);
    }
    struct r_poll poll = {R_NilValue, 0};
    const struct core_hooks hooks = {r_poll_hook, &poll};
    const struct core_info info = {0, -1};
    enum core_status st = vae_own_run(&v, weights, &pts, max_iter, tol, r_out(res, M),
                                      r_out(res, LOG_S), r_out(res, ELBO), &work, &hooks);
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}

static struct vae_control r_control(SEXP control, const struct vae *v)
{
    return (struct vae_control){.epochs = r_int(control, "epochs", 1, INT_MAX - 1),
                                .batch = r_int(control, "batch", 1, v->n),
                                .own_steps = r_int(control, "own_steps", 0, 1000),
                                .rate = r_num(control, "rate", DBL_MIN, 1),
                                .last = r_num(control, "last", DBL_MIN, 1),
                                .clip = r_num(control, "clip", DBL_MIN, DBL_MAX)};
}

enum { W, OWN_M, OWN_LOG_S, TRACE, N_TRAIN };

static SEXP train_result(const struct vae *v, const struct vae_control *ctl)
{
    bool own = v->encoder == VAE_NONE;
    size_t q = own ? (size_t) v->q : 0, n = own ? (size_t) v->n : 0;
    const struct r_field f[N_TRAIN] = {[W] = {"w", vae_n_params(v), R_VECTOR},
                                       [OWN_M] = {"m", q, n},
                                       [OWN_LOG_S] = {"log_s", q, n},
                                       [TRACE] = {"trace", 2, (size_t) ctl->epochs}};
    return r_with_status(r_list(f, N_TRAIN));
}

/* control: list(epochs, batch, own_steps, rate, last, clip); w: start; own: start of the rows' q,
 * NULL with an encoder; progress: function of the epochs done, or NULL.
 * Returns list(list(w, m, log_s, trace), status). */
SEXP C_vae_train(SEXP core, SEXP w, SEXP points, SEXP own, SEXP control, SEXP progress)
{
    const struct vae v = r_vae(core);
    const struct vae_points pts = r_points(points, v.q);
    const struct vae_control ctl = r_control(control, &v);
    const double *start = r_start(w, &v);
    SEXP out = PROTECT(train_result(&v, &ctl)), res = VECTOR_ELT(out, 0);
    memcpy(r_out(res, W), start, sizeof(double) * vae_n_params(&v));
    if (v.encoder == VAE_NONE)
        copy_own(own, &v, r_out(res, OWN_M), r_out(res, OWN_LOG_S));
    struct vae_work work;
    R_ARENA (a) {
        work = vae_work_carve(&v, &ctl, &a);
    }
    struct r_poll poll = {r_progress(progress), 1};
    const struct core_hooks hooks = {r_poll_hook, &poll};
    struct core_info info = {0, -1};
    GetRNGstate();
    enum core_status st =
        vae_train(&v, &ctl, &pts, r_out(res, W), r_out(res, OWN_M), r_out(res, OWN_LOG_S),
                  r_out(res, TRACE), &work, &hooks, &info);
    PutRNGstate();
    r_set_status(INTEGER(VECTOR_ELT(out, 1)), st, &info);
    UNPROTECT(1);
    return out;
}
