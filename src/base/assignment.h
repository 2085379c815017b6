/* assignment.h: the best one-to-one assignment of labels to labels. */
#ifndef MEANFIELD_ASSIGNMENT_H
#define MEANFIELD_ASSIGNMENT_H

enum { ASSIGNMENT_MOST = 512 }; /* labels */

/* row[j] <- the row assigned to column j so that sum_j score(row[j], j) is largest; score is
 * k x k. Hungarian method by shortest augmenting paths, cost k^3. work: 3 (k + 1). */
void assignment_match(int k, const double *score, int *row, double *work);

#endif
