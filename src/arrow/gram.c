/* gram.c: the one pass over the rows, and the merge of two Grams (see gram.h).
 *
 * The pass uses the means of the first block as a provisional centre and moves the result to
 * the true means at the end, so that the data are read once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/blas.h"
#include "base/la.h"
#include "arrow/gram.h"

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
    for (int f = 0; f < g->n_factors; f++) {
        struct gram_factor *x = &g->factor[f];
        for (size_t c = 0; c < (size_t) x->n_levels * (size_t) x->r; c++)
            for (int j = 0; j < m; j++) AT(x->zv, j, c, m) -= shift[j] * x->z1[c];
    }
    for (int j = 0; j < m; j++) g->mean[j] += shift[j];
}

static double row_value(const struct gram_rows *d, size_t i, int j)
{
    if (j < d->p) return d->X[i + (size_t) j * d->n];
    return d->offset ? d->y[i] - d->offset[i] : d->y[i];
}

static double row_weight(const struct gram_rows *d, size_t i)
{
    return d->w ? d->w[i] : 1.0;
}

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
static void load_block(const struct gram_rows *d, const double *mean, size_t first,
                       int rows, double *buf)
{
    int m = d->p + 1;
    for (int j = 0; j < m; j++) {
        const double *col = j < d->p ? d->X + (size_t) j * d->n : d->y;
        for (int k = 0; k < rows; k++)
            AT(buf, j, k, m) = col[first + (size_t) k] - mean[j];
    }
    if (d->offset)
        for (int k = 0; k < rows; k++)
            AT(buf, d->p, k, m) -= d->offset[first + (size_t) k];
    if (d->w)
        for (int k = 0; k < rows; k++) {
            double w = d->w[first + (size_t) k], root = sqrt(w);
            for (int j = 0; j < m; j++)
                AT(buf, j, k, m) = w > 0 ? root * AT(buf, j, k, m) : 0;
        }
}

/* zz, z1 and zv of factor f for one row; v = sqrt(w) (v_i - mean). */
static void add_to_level(const struct gram_rows *d, struct gram *g, int f, size_t i,
                         const double *v)
{
    const struct gram_factor_rows *rows = &d->factor[f];
    struct gram_factor *x = &g->factor[f];
    int m = d->p + 1;
    size_t r = (size_t) rows->r;
    double w = row_weight(d, i), root = d->w ? sqrt(w) : 1.0;
    if (!(w > 0)) return; /* its code may be anything */
    size_t level = (size_t) (rows->code[i] - 1);
    for (size_t b = 0; b < r; b++) {
        double zb = rows->z ? rows->z[i * r + b] : 1.0;
        double *zv = x->zv + (level * r + b) * (size_t) m;
        x->z1[level * r + b] += w * zb;
        for (size_t a = 0; a < r; a++)
            x->zz[(level * r + b) * r + a] +=
                w * zb * (rows->z ? rows->z[i * r + a] : 1.0);
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

enum core_status gram_accumulate(const struct gram_rows *d, struct gram *g,
                                 double *scratch, const struct core_hooks *h)
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
        F77_CALL(dsyrk)
        ("L", "N", &m, &rows, &one, buf, &m, &one, g->cross, &m FCONE FCONE);
        for (int f = 0; f < d->n_factors; f++)
            for (int k = 0; k < rows; k++)
                add_to_level(d, g, f, first + (size_t) k, buf + (size_t) k * (size_t) m);
    }
    la_fill_upper(m, g->cross);
    if (g->head[GRAM_W] > 0) {
        for (int j = 0; j < m; j++) shift[j] = s[j] / g->head[GRAM_W];
        gram_recentre(g, shift, s);
    }
    return CORE_OK;
}

static void add_factor(struct gram_factor *to, const struct gram_factor *part,
                       const int *map, int m, const double *d)
{
    size_t r = (size_t) part->r;
    for (int k = 0; k < part->n_levels; k++) {
        size_t i = (size_t) k * r, o = (size_t) map[k] * r;
        for (size_t a = 0; a < r * r; a++) to->zz[o * r + a] += part->zz[i * r + a];
        for (size_t b = 0; b < r; b++, i++, o++) {
            to->z1[o] += part->z1[i];
            for (int j = 0; j < m; j++)
                AT(to->zv, j, o, m) += AT(part->zv, j, i, m) + d[j] * part->z1[i];
        }
    }
}

/* cross, zv of `part` about the common mean are its own plus the shift d = mean_part - mean:
 *     sum w (v - mean)(v - mean)' = cross_part + W_part d d',  zv_g = zv_part + d z1_g'. */
static void add_shifted(struct gram *g, const struct gram *part, const int *const *map,
                        const double *d)
{
    int m = g->p + 1;
    double W = part->head[GRAM_W];
    for (int j = 0; j < m; j++)
        for (int i = 0; i < m; i++)
            AT(g->cross, i, j, m) += AT(part->cross, i, j, m) + W * d[i] * d[j];
    for (int f = 0; f < g->n_factors; f++)
        add_factor(&g->factor[f], &part->factor[f], map[f], m, d);
}

void gram_merge(struct gram *g, const struct gram *part, const int *const *map,
                double *scratch)
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

/* ---- pairs of factors -------------------------------------------------------------------- */

/* order <- the rows of positive weight sorted by level of factor a; start of each in ptr. */
static void rows_by_level(const struct gram_rows *d, int a, int *ptr, int *order)
{
    const struct gram_factor_rows *f = &d->factor[a];
    memset(ptr, 0, sizeof(int) * ((size_t) f->n_levels + 1));
    for (size_t i = 0; i < d->n; i++)
        if (row_weight(d, i) > 0) ptr[f->code[i]]++;
    for (int g = 0; g < f->n_levels; g++) ptr[g + 1] += ptr[g];
    for (size_t i = d->n; i-- > 0;)
        if (row_weight(d, i) > 0) order[--ptr[f->code[i]]] = (int) i;
    /* the loop above moved ptr[g + 1] back to the start of level g */
    for (int g = 0; g < f->n_levels; g++) ptr[g] = ptr[g + 1];
}

static int compare_ints(const void *x, const void *y)
{
    int a = *(const int *) x, b = *(const int *) y;
    return (a > b) - (a < b);
}

void gram_pair_pattern(const struct gram_rows *d, int a, int b, int *ptr, int *idx,
                       int *order, int *mark)
{
    int na = d->factor[a].n_levels, nb = d->factor[b].n_levels, used = 0, rows = 0;
    const int *code = d->factor[b].code;
    for (size_t i = 0; i < d->n; i++) rows += row_weight(d, i) > 0;
    rows_by_level(d, a, ptr, order);
    for (int l = 0; l < nb; l++) mark[l] = -1;
    for (int g = 0; g < na; g++) {
        int first = ptr[g], last = g + 1 < na ? ptr[g + 1] : rows, start = used;
        for (int i = first; i < last; i++) {
            int l = code[order[i]] - 1;
            if (mark[l] == g) continue;
            mark[l] = g;
            if (idx) idx[used] = l;
            used++;
        }
        ptr[g] = start; /* the row start is no longer needed */
        if (idx) qsort(idx + start, (size_t) (used - start), sizeof(int), compare_ints);
    }
    ptr[na] = used;
}

static int find_level(const int *idx, int lo, int hi, int level)
{
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (idx[mid] <= level)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

void gram_pair_values(const struct gram_rows *d, int a, int b, const int *ptr,
                      const int *idx, double *val)
{
    const struct gram_factor_rows *fa = &d->factor[a], *fb = &d->factor[b];
    size_t ra = (size_t) fa->r, rb = (size_t) fb->r;
    for (size_t i = 0; i < d->n; i++) {
        double w = row_weight(d, i);
        if (!(w > 0)) continue;
        int g = fa->code[i] - 1;
        int at = find_level(idx, ptr[g], ptr[g + 1], fb->code[i] - 1);
        double *v = val + (size_t) at * ra * rb;
        for (size_t y = 0; y < rb; y++)
            for (size_t x = 0; x < ra; x++)
                v[x + y * ra] += w * (fa->z ? fa->z[i * ra + x] : 1.0) *
                                 (fb->z ? fb->z[i * rb + y] : 1.0);
    }
}
