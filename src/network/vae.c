/* vae.c: see vae.h. */
#include <math.h>
#include <string.h>
#include "base/la.h"
#include "base/rand.h"
#include "network/vae.h"

static const double LOG_2PI = 1.837877066409345483560659472811;

/* Beyond these a log SD is one of them: exp() of an untrained network's output must be a number. */
static const double LEAST_LOG_S = -20, MOST_LOG_S = 10;

static size_t n_encoder(const struct vae *v)
{
    return v->encoder == VAE_NONE ? 0 : mlp_n_weights(&v->enc);
}

/* Where the parts of w begin. */
static size_t at_log_s(const struct vae *v) { return n_encoder(v); }
static size_t at_decoder(const struct vae *v)
{
    return n_encoder(v) + (v->encoder == VAE_LINEAR ? (size_t) v->q : 0);
}
static size_t at_log_sigma(const struct vae *v)
{
    return at_decoder(v) + mlp_n_weights(&v->dec);
}

size_t vae_n_params(const struct vae *v) { return at_log_sigma(v) + 1; }

static void copy_rows(int p, const double *X, const int *row, int n, double *x)
{
    for (int i = 0; i < n; i++)
        memcpy(x + (size_t) i * (size_t) p, &AT(X, 0, row[i], p),
               sizeof(double) * (size_t) p);
}

/* r <- x - r, and the sum of its squares; p numbers each. */
static double residual(int p, const double *x, double *r)
{
    double ss = 0;
    for (int j = 0; j < p; j++) {
        r[j] = x[j] - r[j];
        ss += r[j] * r[j];
    }
    return ss;
}

/* log N(x; f, sigma^2 I) with |x - f|^2 = ss. */
static double log_normal(int p, double ss, double log_sigma)
{
    return -p * (LOG_2PI / 2 + log_sigma) - ss * exp(-2 * log_sigma) / 2;
}

/* ---- each row's own q ------------------------------------------------------------------ */

struct vae_own vae_own_carve(const struct vae *v, int rows, struct arena *a)
{
    size_t n = (size_t) rows, q = n * (size_t) v->q;
    struct vae_own o;
    o.m = arena_doubles(a, q);
    o.log_s = arena_doubles(a, q);
    o.elbo = arena_doubles(a, n);
    o.rho = arena_doubles(a, n);
    o.rise = arena_doubles(a, n);
    o.g = arena_doubles(a, q);
    o.h = arena_doubles(a, q);
    o.new_m = arena_doubles(a, q);
    o.new_s = arena_doubles(a, q);
    o.new_g = arena_doubles(a, q);
    o.new_h = arena_doubles(a, q);
    o.new_elbo = arena_doubles(a, n);
    o.z = arena_doubles(a, q);
    o.dz = arena_doubles(a, q);
    o.out = arena_doubles(a, n * (size_t) v->p);
    o.x = arena_doubles(a, n * (size_t) v->p);
    o.units = arena_doubles(a, n * mlp_n_units(&v->dec));
    o.row = arena_ints(a, n);
    return o;
}

/* Adds point e of all rows to elbo, g and h; o->z holds the rows' z. */
static void add_point(const struct vae *v, const double *w, int rows, const double *x,
                      const double *e, double weight, const double *log_s, double *elbo,
                      double *g, double *h, struct vae_own *o)
{
    int p = v->p, q = v->q;
    const double *dec = w + at_decoder(v), log_sigma = w[at_log_sigma(v)],
                 precision = exp(-2 * log_sigma);
    mlp_forward(&v->dec, dec, rows, o->z, o->units);
    memcpy(o->out, mlp_output(&v->dec, rows, o->units),
           sizeof(double) * (size_t) p * (size_t) rows);
    for (int i = 0; i < rows; i++) {
        double *r = &AT(o->out, 0, i, p), ss = residual(p, &AT(x, 0, i, p), r);
        const double *z = &AT(o->z, 0, i, q);
        elbo[i] += weight * (log_normal(p, ss, log_sigma) - la_dot((size_t) q, z, z) / 2);
        for (int j = 0; j < p; j++) r[j] *= precision;
    }
    mlp_backward(&v->dec, dec, rows, o->z, o->units, o->out, NULL, o->dz);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < q; j++) {
            double d = AT(o->dz, j, i, q) - AT(o->z, j, i, q);
            AT(g, j, i, q) += weight * d;
            AT(h, j, i, q) -= weight * d * e[j] * exp(-AT(log_s, j, i, q));
        }
}

/* The bound of each row at (m, log_s), its slope by m, and h. */
static void own_bound(const struct vae *v, const double *w, int rows, const double *x,
                      const struct vae_points *pts, const double *m, const double *log_s,
                      double *elbo, double *g, double *h, struct vae_own *o)
{
    int q = v->q;
    size_t size = (size_t) q * (size_t) rows;
    memset(g, 0, sizeof(double) * size);
    memset(h, 0, sizeof(double) * size);
    for (int i = 0; i < rows; i++) { /* the prior's constant and q's entropy */
        elbo[i] = q / 2.0;
        for (int j = 0; j < q; j++) elbo[i] += AT(log_s, j, i, q);
    }
    for (int k = 0; k < pts->n; k++) {
        const double *e = &AT(pts->e, 0, k, q);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < q; j++)
                AT(o->z, j, i, q) = AT(m, j, i, q) + exp(AT(log_s, j, i, q)) * e[j];
        add_point(v, w, rows, x, e, pts->weight[k], log_s, elbo, g, h, o);
    }
}

void vae_own_start(const struct vae *v, const double *w, int rows, const double *x,
                   const struct vae_points *pts, struct vae_own *o)
{
    own_bound(v, w, rows, x, pts, o->m, o->log_s, o->elbo, o->g, o->h, o);
    for (int i = 0; i < rows; i++) o->rho[i] = 1;
}

/* The trial of row i: no SD changes more than threefold, and no mean moves by more than 3 SDs. */
static void propose(const struct vae *v, int i, struct vae_own *o)
{
    int q = v->q;
    double rho = o->rho[i];
    for (int j = 0; j < q; j++) {
        double log_s = AT(o->log_s, j, i, q), now = exp(-2 * log_s);
        double precision = (1 - rho) * now + rho * AT(o->h, j, i, q);
        precision = fmin(fmax(precision, now / 9), now * 9);
        double s = 1 / sqrt(precision), move = rho * AT(o->g, j, i, q) / precision;
        AT(o->new_s, j, i, q) = fmin(fmax(log(s), LEAST_LOG_S), MOST_LOG_S);
        AT(o->new_m, j, i, q) = AT(o->m, j, i, q) + fmin(fmax(move, -3 * s), 3 * s);
    }
}

static void take_row(int q, int i, struct vae_own *o)
{
    size_t at = (size_t) i * (size_t) q, size = sizeof(double) * (size_t) q;
    memcpy(o->m + at, o->new_m + at, size);
    memcpy(o->log_s + at, o->new_s + at, size);
    memcpy(o->g + at, o->new_g + at, size);
    memcpy(o->h + at, o->new_h + at, size);
    o->elbo[i] = o->new_elbo[i];
}

void vae_own_step(const struct vae *v, const double *w, int rows, const double *x,
                  const struct vae_points *pts, struct vae_own *o)
{
    for (int i = 0; i < rows; i++) propose(v, i, o);
    own_bound(v, w, rows, x, pts, o->new_m, o->new_s, o->new_elbo, o->new_g, o->new_h, o);
    for (int i = 0; i < rows; i++) {
        double rise = o->new_elbo[i] - o->elbo[i];
        o->rise[i] = rise;
        if (rise > 0) {
            take_row(v->q, i, o);
            o->rho[i] = fmin(1, 2 * o->rho[i]);
        } else {
            bool flat = fabs(rise) < 1e-9 * (1 + fabs(o->elbo[i])); /* rounding */
            o->rise[i] = flat || o->rho[i] < 1e-4 ? 0 : 1;
            o->rho[i] /= 4;
        }
    }
}

/* The state of row `from` to place `to`. */
static void move_row(const struct vae *v, int from, int to, struct vae_own *o)
{
    size_t q = (size_t) v->q, size = sizeof(double) * q, p = (size_t) v->p;
    size_t a = q * (size_t) from, b = q * (size_t) to;
    if (from == to) return;
    memcpy(o->m + b, o->m + a, size);
    memcpy(o->log_s + b, o->log_s + a, size);
    memcpy(o->g + b, o->g + a, size);
    memcpy(o->h + b, o->h + a, size);
    memcpy(o->x + p * (size_t) to, o->x + p * (size_t) from, sizeof(double) * p);
    o->elbo[to] = o->elbo[from];
    o->rho[to] = o->rho[from];
    o->rise[to] = o->rise[from];
    o->row[to] = o->row[from];
}

static void give_row(const struct vae *v, int i, const struct vae_own *o, double *m,
                     double *log_s, double *elbo)
{
    size_t size = sizeof(double) * (size_t) v->q;
    memcpy(&AT(m, 0, o->row[i], v->q), &AT(o->m, 0, i, v->q), size);
    memcpy(&AT(log_s, 0, o->row[i], v->q), &AT(o->log_s, 0, i, v->q), size);
    elbo[o->row[i]] = o->elbo[i];
}

/* Rows from, ..., from + rows - 1 to be worked on. */
static void begin_rows(const struct vae *v, const double *w, const struct vae_points *pts,
                       int from, int rows, const double *m, const double *log_s,
                       struct vae_own *o)
{
    for (int i = 0; i < rows; i++) o->row[i] = from + i;
    copy_rows(v->p, v->X, o->row, rows, o->x);
    copy_rows(v->q, m, o->row, rows, o->m);
    copy_rows(v->q, log_s, o->row, rows, o->log_s);
    vae_own_start(v, w, rows, o->x, pts, o);
}

enum core_status vae_own_run(const struct vae *v, const double *w,
                             const struct vae_points *pts, int max_iter, double tol,
                             double *m, double *log_s, double *elbo, struct vae_own *o,
                             const struct core_hooks *hooks)
{
    enum core_status st = CORE_OK;
    for (int from = 0; from < v->n; from += VAE_ROWS) {
        int left = v->n - from < VAE_ROWS ? v->n - from : VAE_ROWS;
        begin_rows(v, w, pts, from, left, m, log_s, o);
        for (int it = 0; it < max_iter && left > 0; it++) {
            if (core_stop(hooks, from)) return CORE_INTERRUPTED;
            vae_own_step(v, w, left, o->x, pts, o);
            for (int i = left - 1; i >= 0; i--) /* those that are done make room */
                if (!(o->rise[i] > tol)) {
                    give_row(v, i, o, m, log_s, elbo);
                    move_row(v, --left, i, o);
                }
        }
        if (left > 0 && max_iter > 0) st = CORE_MAXIT;
        for (int i = 0; i < left; i++) give_row(v, i, o, m, log_s, elbo);
        if (core_stop(hooks, from)) return CORE_INTERRUPTED;
    }
    return st;
}

/* ---- training ------------------------------------------------------------------------------ */

struct vae_work vae_work_carve(const struct vae *v, const struct vae_control *ctl,
                               struct arena *a)
{
    size_t rows = (size_t) ctl->batch, q = (size_t) v->q * rows, p = (size_t) v->p * rows;
    struct vae_work k = {.x = arena_doubles(a, p)};
    k.e = arena_doubles(a, q);
    k.z = arena_doubles(a, q);
    k.dz = arena_doubles(a, q);
    k.q = arena_doubles(a, 2 * q);
    k.dq = arena_doubles(a, 2 * q);
    k.out = arena_doubles(a, p);
    if (v->encoder == VAE_NONE)
        k.own = vae_own_carve(v, ctl->batch, a);
    else
        k.enc_units = arena_doubles(a, rows * mlp_n_units(&v->enc));
    k.dec_units = arena_doubles(a, rows * mlp_n_units(&v->dec));
    k.slope = arena_doubles(a, vae_n_params(v));
    k.order = arena_ints(a, (size_t) v->n);
    k.adam = adam_carve(vae_n_params(v), a);
    return k;
}

static double bounded(double log_s) { return fmin(fmax(log_s, LEAST_LOG_S), MOST_LOG_S); }

/* k->q (m above log s, 2q x rows) <- the encoder at k->x. */
static void encode(const struct vae *v, const double *w, int rows, struct vae_work *k)
{
    int q = v->q;
    if (v->encoder == VAE_NONE) return;
    mlp_forward(&v->enc, w, rows, k->x, k->enc_units);
    const double *out = mlp_output(&v->enc, rows, k->enc_units);
    if (v->encoder == VAE_NETWORK) {
        memcpy(k->q, out, sizeof(double) * 2 * (size_t) q * (size_t) rows);
        return;
    }
    for (int i = 0; i < rows; i++) {
        memcpy(&AT(k->q, 0, i, 2 * q), &AT(out, 0, i, q), sizeof(double) * (size_t) q);
        memcpy(&AT(k->q, q, i, 2 * q), w + at_log_s(v), sizeof(double) * (size_t) q);
    }
}

/* The slope by the encoder's weights, from k->dq. */
static void encoder_slope(const struct vae *v, const double *w, int rows,
                          struct vae_work *k)
{
    int q = v->q;
    if (v->encoder == VAE_NONE) return;
    if (v->encoder == VAE_LINEAR) {
        double *own = k->slope + at_log_s(v);
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < q; j++) own[j] += AT(k->dq, q + j, i, 2 * q);
            memcpy(k->dz + (size_t) i * (size_t) q, &AT(k->dq, 0, i, 2 * q),
                   sizeof(double) * (size_t) q);
        }
    }
    mlp_backward(&v->enc, w, rows, k->x, k->enc_units,
                 v->encoder == VAE_LINEAR ? k->dz : k->dq, k->slope, NULL);
}

/* Sum of the rows' entropies and expected log priors; their slopes, and those of log p(x | z) that
 * come through k->dz, to k->dq. share: of a row in the mean. */
static double latent_part(int q, int rows, double share, struct vae_work *k)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < q; j++) {
            double m = AT(k->q, j, i, 2 * q), raw = AT(k->q, q + j, i, 2 * q);
            double log_s = bounded(raw), s = exp(log_s), dz = AT(k->dz, j, i, q);
            sum += log_s + (1 - m * m - s * s) / 2;
            AT(k->dq, j, i, 2 * q) = dz - share * m;
            AT(k->dq, q + j, i, 2 * q) =
                raw == log_s ? dz * AT(k->e, j, i, q) * s + share * (1 - s * s) : 0;
        }
    return sum;
}

double vae_slope(const struct vae *v, const double *w, int rows, struct vae_work *k)
{
    int p = v->p, q = v->q;
    double log_sigma = w[at_log_sigma(v)], precision = exp(-2 * log_sigma), ss = 0;
    memset(k->slope, 0, sizeof(double) * vae_n_params(v));
    encode(v, w, rows, k);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < q; j++)
            AT(k->z, j, i, q) =
                AT(k->q, j, i, 2 * q) +
                exp(bounded(AT(k->q, q + j, i, 2 * q))) * AT(k->e, j, i, q);
    mlp_forward(&v->dec, w + at_decoder(v), rows, k->z, k->dec_units);
    memcpy(k->out, mlp_output(&v->dec, rows, k->dec_units),
           sizeof(double) * (size_t) p * (size_t) rows);
    for (int i = 0; i < rows; i++) {
        double *r = &AT(k->out, 0, i, p);
        ss += residual(p, &AT(k->x, 0, i, p), r);
        for (int j = 0; j < p; j++) r[j] *= precision / rows;
    }
    mlp_backward(&v->dec, w + at_decoder(v), rows, k->z, k->dec_units, k->out,
                 k->slope + at_decoder(v), k->dz);
    k->slope[at_log_sigma(v)] = ss * precision / rows - p;
    double latent = latent_part(q, rows, 1.0 / rows, k);
    encoder_slope(v, w, rows, k);
    return log_normal(p, ss / rows, log_sigma) + latent / rows;
}

static void shuffle(int n, int *order)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int) (rand_uniform() * (i + 1)), was = order[i];
        order[i] = order[j];
        order[j] = was;
    }
}

/* k->q <- the own q of the batch's rows after a few steps, which m and log_s keep. */
static void own_of_batch(const struct vae *v, const struct vae_control *ctl,
                         const struct vae_points *pts, const double *w, const int *row,
                         int rows, double *m, double *log_s, struct vae_work *k)
{
    int q = v->q;
    size_t size = sizeof(double) * (size_t) q;
    copy_rows(q, m, row, rows, k->own.m);
    copy_rows(q, log_s, row, rows, k->own.log_s);
    vae_own_start(v, w, rows, k->x, pts, &k->own);
    for (int s = 0; s < ctl->own_steps; s++) vae_own_step(v, w, rows, k->x, pts, &k->own);
    for (int i = 0; i < rows; i++) {
        const double *own_m = &AT(k->own.m, 0, i, q), *own_s = &AT(k->own.log_s, 0, i, q);
        memcpy(&AT(m, 0, row[i], q), own_m, size);
        memcpy(&AT(log_s, 0, row[i], q), own_s, size);
        memcpy(&AT(k->q, 0, i, 2 * q), own_m, size);
        memcpy(&AT(k->q, q, i, 2 * q), own_s, size);
    }
}

/* Constant in the first half of the run (done: 0 to 1), then falling to `last`. */
static double rate_at(const struct vae_control *ctl, double done)
{
    if (done <= 0.5) return ctl->rate;
    return ctl->rate * pow(ctl->last / ctl->rate, 2 * done - 1);
}

enum core_status vae_train(const struct vae *v, const struct vae_control *ctl,
                           const struct vae_points *pts, double *w, double *m,
                           double *log_s, double *trace, struct vae_work *k,
                           const struct core_hooks *hooks, struct core_info *info)
{
    const struct ziggurat zig = rand_ziggurat();
    for (int i = 0; i < v->n; i++) k->order[i] = i;
    adam_start(&k->adam);
    for (int epoch = 0; epoch < ctl->epochs; epoch++) {
        double sum = 0;
        info->iter = epoch;
        shuffle(v->n, k->order);
        for (int from = 0; from < v->n; from += ctl->batch) {
            if (core_stop(hooks, epoch)) return CORE_INTERRUPTED;
            int rows = v->n - from < ctl->batch ? v->n - from : ctl->batch;
            const int *row = k->order + from;
            copy_rows(v->p, v->X, row, rows, k->x);
            if (v->encoder == VAE_NONE)
                own_of_batch(v, ctl, pts, w, row, rows, m, log_s, k);
            rand_normals(&zig, (size_t) rows * (size_t) v->q, k->e);
            double elbo = vae_slope(v, w, rows, k);
            adam_clip(vae_n_params(v), k->slope, ctl->clip);
            double done = (epoch + (double) from / v->n) / ctl->epochs;
            if (!isfinite(elbo) || !adam_step(&k->adam, rate_at(ctl, done), k->slope, w))
                return CORE_NONFINITE;
            sum += elbo * rows;
        }
        AT(trace, 0, epoch, 2) = sum / v->n;
        AT(trace, 1, epoch, 2) = exp(w[at_log_sigma(v)]);
    }
    info->iter = ctl->epochs;
    return CORE_OK;
}
