/* gmm_start.c: k-means++ starts (see gmm_start.h). */
#include <string.h>
#include "base/core.h"
#include "base/seeded.h"
#include "mixture/gmm_start.h"

/* dist <- squared distances of all rows from c. */
static void distances(int n, int p, const double *X, const double *c,
                      double *restrict dist)
{
    memset(dist, 0, sizeof(double) * (size_t) n);
    for (int j = 0; j < p; j++) {
        const double *restrict x = &AT(X, 0, j, n);
        for (int i = 0; i < n; i++) dist[i] += (x[i] - c[j]) * (x[i] - c[j]);
    }
}

/* A row drawn with probability proportional to weight; any row when all weights are zero. */
static int pick(int n, const double *weight, uint64_t *state)
{
    double total = 0, u = seeded_uniform(state);
    for (int i = 0; i < n; i++) total += weight[i];
    if (!(total > 0)) return (int) (u * n);
    u *= total;
    for (int i = 0; i < n; i++)
        if ((u -= weight[i]) < 0) return i;
    return n - 1;
}

static void copy_row(int n, int p, const double *X, int i, double *c)
{
    for (int j = 0; j < p; j++) c[j] = AT(X, i, j, n);
}

/* label and best <- nearest centre and its squared distance. */
static void assign(int n, int p, int k, const double *X, const double *centre, int *label,
                   double *dist, double *best)
{
    for (int l = 0; l < k; l++) {
        distances(n, p, X, centre + (size_t) l * (size_t) p, dist);
        for (int i = 0; i < n; i++)
            if (l == 0 || dist[i] < best[i]) {
                best[i] = dist[i];
                label[i] = l;
            }
    }
}

/* centre <- means of the rows of each label; a centre without rows moves to the row that is
 * farthest from its own. */
static void update_centres(int n, int p, int k, const double *X, const int *label,
                           double *centre, double *best)
{
    for (int l = 0; l < k; l++) {
        double *c = centre + (size_t) l * (size_t) p, count = 0;
        for (int i = 0; i < n; i++) count += label[i] == l;
        if (count > 0) {
            for (int j = 0; j < p; j++) {
                double s = 0;
                for (int i = 0; i < n; i++) s += label[i] == l ? AT(X, i, j, n) : 0;
                c[j] = s / count;
            }
            continue;
        }
        int far = 0;
        for (int i = 1; i < n; i++)
            if (best[i] > best[far]) far = i;
        copy_row(n, p, X, far, c);
        best[far] = 0;
    }
}

void gmm_start(int n, int p, int k, const double *X, uint64_t seed, int rounds,
               int *label, double *centre, double *dist, double *best)
{
    uint64_t state = seed;
    copy_row(n, p, X, (int) (seeded_uniform(&state) * n), centre);
    distances(n, p, X, centre, best);
    for (int l = 1; l < k; l++) {
        double *c = centre + (size_t) l * (size_t) p;
        copy_row(n, p, X, pick(n, best, &state), c);
        distances(n, p, X, c, dist);
        for (int i = 0; i < n; i++)
            if (dist[i] < best[i]) best[i] = dist[i];
    }
    assign(n, p, k, X, centre, label, dist, best);
    for (int it = 0; it < rounds; it++) {
        update_centres(n, p, k, X, label, centre, best);
        assign(n, p, k, X, centre, label, dist, best);
    }
}
