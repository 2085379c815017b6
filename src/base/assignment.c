/* assignment.c: see assignment.h. */
#include <math.h>
#include <string.h>
#include "base/core.h"
#include "base/assignment.h"

/* Assignment by shortest augmenting paths [Kuhn 1955; Jonker & Volgenant 1987], rows entered one
 * at a time; u, v are the dual prices, `from` the path. 1-based inside. */
void assignment_match(int k, const double *score, int *row, double *work)
{
    double *u = work, *v = work + (k + 1), *slack = work + 2 * (k + 1);
    int owner[ASSIGNMENT_MOST + 1] = {0}, from[ASSIGNMENT_MOST + 1];
    memset(work, 0, sizeof(double) * 2 * (size_t) (k + 1));
    for (int i = 1; i <= k; i++) {
        bool used[ASSIGNMENT_MOST + 1] = {false};
        int j0 = 0;
        owner[0] = i;
        for (int j = 0; j <= k; j++) slack[j] = INFINITY;
        do {
            int i0 = owner[j0], j1 = 0;
            double step = INFINITY;
            used[j0] = true;
            for (int j = 1; j <= k; j++) {
                if (used[j]) continue;
                double cost = -AT(score, i0 - 1, j - 1, k) - u[i0] - v[j];
                if (cost < slack[j]) {
                    slack[j] = cost;
                    from[j] = j0;
                }
                if (slack[j] < step) {
                    step = slack[j];
                    j1 = j;
                }
            }
            for (int j = 0; j <= k; j++) {
                if (used[j]) {
                    u[owner[j]] += step;
                    v[j] -= step;
                } else {
                    slack[j] -= step;
                }
            }
            j0 = j1;
        } while (owner[j0] != 0);
        while (j0 != 0) {
            owner[j0] = owner[from[j0]];
            j0 = from[j0];
        }
    }
    for (int j = 0; j < k; j++) row[j] = owner[j + 1] - 1;
}
