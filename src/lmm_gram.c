/* lmm_gram.c: the one pass over the rows, and the merge of two Grams (see lmm_gram.h).
 *
 * The pass uses the means of the first block as a provisional centre and moves the result to
 * the true means at the end, so that the data are read once. */
#include <math.h>
#include <string.h>
#include "blas.h"
#include "la.h"
#include "lmm_gram.h"

/* About a new centre, mean + shift, given s = sum w (v - mean):
 *     cross += -s shift' - shift s' + W shift shift',  zv_g -= shift z1_g'. */
static void gram_recentre(struct gram *g, const double *shift, const double *s)
{
    int m = g->p + 1;
    double W = g->head[GRAM_W];
    for (int j = 0; j < m; j++)
        for (int i = 0; i < m; i++)
            AT(g->cross, i, j, m) +=
                W * shift[i] * shift[j] - s[i] * shift[j] - shift[i] * s[j];
    for (size_t c = 0; c < (size_t) g->n_groups * (size_t) g->r; c++)
        for (int j = 0; j < m; j++) AT(g->zv, j, c, m) -= shift[j] * g->z1[c];
    for (int j = 0; j < m; j++) g->mean[j] += shift[j];
}

static double row_value(const struct gram_rows *d, size_t i, int j)
{
    if (j < d->p) return d->X[i + (size_t) j * d->n];
    return d->offset ? d->y[i] - d->offset[i] : d->y[i];
}

static double row_weight(const struct gram_rows *d, size_t i) { return d->w ? d->w[i] : 1.0; }

/* Centre of the pass: the mean over the used rows of the first block that has any. */
static void provisional_centre(const struct gram_rows *d, double *centre)
{
    size_t first = 0;
    while (first < d->n && !(row_weight(d, first) > 0)) first++;
    size_t last = first + GRAM_BLOCK < d->n ? first + GRAM_BLOCK : d->n;
    for (int j = 0; j <= d->p; j++) {
        double sum = 0, W = 0;
        for (size_t i = first; i < last; i++) {
            double w = row_weight(d, i);
            if (!(w > 0)) continue;
            sum += w * row_value(d, i, j);
            W += w;
        }
        centre[j] = W > 0 ? sum / W : 0;
    }
}

/* buf (m x rows) <- sqrt(w) (v - mean) of the rows first, ..., first + rows - 1; rows of
 * weight zero become zero, whatever their values. */
static void load_block(const struct gram_rows *d, const double *mean, size_t first, int rows,
                       double *buf)
{
    int m = d->p + 1;
    for (int j = 0; j < m; j++) {
        const double *col = j < d->p ? d->X + (size_t) j * d->n : d->y;
        for (int k = 0; k < rows; k++) AT(buf, j, k, m) = col[first + (size_t) k] - mean[j];
    }
    if (d->offset)
        for (int k = 0; k < rows; k++) AT(buf, d->p, k, m) -= d->offset[first + (size_t) k];
    if (d->w)
        for (int k = 0; k < rows; k++) {
            double w = d->w[first + (size_t) k], root = sqrt(w);
            for (int j = 0; j < m; j++)
                AT(buf, j, k, m) = w > 0 ? root * AT(buf, j, k, m) : 0;
        }
}

/* zz, z1 and zv of one row; v = sqrt(w) (v_i - mean). */
static void add_to_leaf(const struct gram_rows *d, struct gram *g, size_t i, const double *v)
{
    int m = d->p + 1, r = d->r;
    double w = row_weight(d, i), root = d->w ? sqrt(w) : 1.0;
    if (!(w > 0)) return; /* its code may be anything */
    size_t leaf = (size_t) (d->group[i] - 1);
    for (int b = 0; b < r; b++) {
        double zb = d->z ? d->z[i * (size_t) r + (size_t) b] : 1.0;
        double *zv = g->zv + (leaf * (size_t) r + (size_t) b) * (size_t) m;
        g->z1[leaf * (size_t) r + (size_t) b] += w * zb;
        for (int a = 0; a < r; a++) {
            double za = d->z ? d->z[i * (size_t) r + (size_t) a] : 1.0;
            g->zz[(leaf * (size_t) r + (size_t) b) * (size_t) r + (size_t) a] += w * za * zb;
        }
        for (int j = 0; j < m; j++) zv[j] += root * zb * v[j];
    }
}

/* s += sum of w (v - mean) over a block, and the three scalar sums. */
static void add_sums(const struct gram_rows *d, struct gram *g, size_t first, int rows,
                     const double *buf, double *s)
{
    int m = d->p + 1;
    for (int k = 0; k < rows; k++) {
        double w = row_weight(d, first + (size_t) k), root = d->w ? sqrt(w) : 1.0;
        if (!(w > 0)) continue;
        g->head[GRAM_N] += 1;
        g->head[GRAM_W] += w;
        if (d->w) g->head[GRAM_LOGW] += log(w);
        for (int j = 0; j < m; j++) s[j] += root * AT(buf, j, k, m);
    }
}

enum core_status gram_accumulate(const struct gram_rows *d, struct gram *g, double *scratch,
                                 const struct core_hooks *h)
{
    int m = d->p + 1, blocks = 0;
    double *s = scratch, *shift = scratch + m, *buf = scratch + 2 * m, one = 1;
    memset(s, 0, sizeof(double) * (size_t) m);
    provisional_centre(d, g->mean);
    for (size_t first = 0; first < d->n; first += GRAM_BLOCK) {
        int rows = d->n - first < GRAM_BLOCK ? (int) (d->n - first) : GRAM_BLOCK;
        if (++blocks % 1024 == 0 && core_stop(h, blocks)) return CORE_INTERRUPTED;
        load_block(d, g->mean, first, rows, buf);
        add_sums(d, g, first, rows, buf, s);
        F77_CALL(dsyrk)("L", "N", &m, &rows, &one, buf, &m, &one, g->cross, &m FCONE FCONE);
        if (d->group)
            for (int k = 0; k < rows; k++)
                add_to_leaf(d, g, first + (size_t) k, buf + (size_t) k * (size_t) m);
    }
    la_fill_upper(m, g->cross);
    if (g->head[GRAM_W] > 0) {
        for (int j = 0; j < m; j++) shift[j] = s[j] / g->head[GRAM_W];
        gram_recentre(g, shift, s);
    }
    return CORE_OK;
}

/* cross, zv of `part` about the common mean are its own plus the shift d = mean_part - mean:
 *     sum w (v - mean)(v - mean)' = cross_part + W_part d d',  zv_g = zv_part + d z1_g'. */
static void add_shifted(struct gram *g, const struct gram *part, const int *map,
                        const double *d)
{
    int m = g->p + 1, r = g->r;
    double W = part->head[GRAM_W];
    for (int j = 0; j < m; j++)
        for (int i = 0; i < m; i++)
            AT(g->cross, i, j, m) += AT(part->cross, i, j, m) + W * d[i] * d[j];
    for (int k = 0; k < part->n_groups; k++) {
        size_t from = (size_t) k * (size_t) r, to = (size_t) map[k] * (size_t) r;
        for (int a = 0; a < r * r; a++)
            g->zz[to * (size_t) r + (size_t) a] += part->zz[from * (size_t) r + (size_t) a];
        for (int b = 0; b < r; b++, from++, to++) {
            g->z1[to] += part->z1[from];
            for (int j = 0; j < m; j++)
                AT(g->zv, j, to, m) += AT(part->zv, j, from, m) + d[j] * part->z1[from];
        }
    }
}

void gram_merge(struct gram *g, const struct gram *part, const int *map, double *scratch)
{
    int m = g->p + 1;
    double *shift = scratch, *zero = scratch + m;
    double Wp = part->head[GRAM_W], W = g->head[GRAM_W] + Wp;
    if (!(Wp > 0)) return;
    for (int j = 0; j < m; j++) {
        shift[j] = (part->mean[j] - g->mean[j]) * (Wp / W);
        zero[j] = 0; /* g is about its own mean */
    }
    gram_recentre(g, shift, zero);
    for (int j = 0; j < m; j++) shift[j] = part->mean[j] - g->mean[j];
    add_shifted(g, part, map, shift);
    for (int k = 0; k < GRAM_HEAD; k++) g->head[k] += part->head[k];
}
