/* emulator_rule.h: the integral of an emulated density: a dense lattice, which costs no conditional fit,
 * the moments on it, an estimate of their error, and where the next fits would help most.
 *
 * In the coordinates v = centre + L z the rule is the trapezoid rule on the cubic lattice z = h Z^d, or
 * on the centred one: all-even and all-odd points of (h / sqrt 2) Z^d, which
 * errs as little with 2^(d/2 - 1) times fewer points.
 *
 * Moments are those of psi, and of the SDs and correlations on the user's scale. With w the weights, s the predictive SDs and t a standardised quantity the emulator's error is
 *
 *     gp = max(sum w s |t|, sum w s |t^2 - 1| / 2, sum w s),
 *
 * and `rule` that of the lattice, from sublattices. The next fits are at the largest w s (1 + min(max |t|, 5)^2 / 2),
 * each damping what is near it. Of more than `nodes` points that number stands for all: those of most weight, and
 * of the others every so manieth by weight, with weights that keep the means and variances above. */
#ifndef MEANFIELD_EMULATOR_RULE_H
#define MEANFIELD_EMULATOR_RULE_H

#include "engine/emulator.h"
#include "engine/nest.h"

struct emulator_settings {
    double step, drop,
        tol;    /* of the lattice; tol: axes are shortened until their error is below   */
    double far; /* of struct emulator                                               */
    double kappa; /* the predictive SDs are multiplied by it                          */
    double
        negligible; /* share of the mass that may be left out with the least points     */
    int capacity,
        batch;    /* points; fits to be picked                                        */
    int nodes;    /* most that are handed over                                        */
    bool centred; /* the lattice                                                      */
};

struct emulator_rule {
    int d, n_y; /* n_y: quantities                                                 */
    double *centre,
        *L; /* d, d x d: of the lattice; in: a start, of SDs `L`                */
    struct lattice part[2];
    int n_part, *table[2];
    double spacing; /* of a part's points, in z                                        */
    int n, kept;    /* points, and those without the negligible ones                    */
    struct
        emulator_ranked { /* n: by falling weight                                            */
        double w;
        int at;
    } * order;
    double *w; /* n                                                               */
    double *Y; /* n_y x n                                                         */
    double *x, *z, *h; /* of the points in `order`: d, d x kept; p x n_some            */
    double *mean, *sd; /* n_y each                                                     */
    struct emulator_sums *sums; /* of sublattices                                      */
    double *
        axis_errors; /* d                                                               */
    double log_evidence, rule, truncation, gp;
    double *next_L,
        *next_Lx; /* d x d: roots of the covariances of v and of x                    */
    double *
        next_centre; /* d                                                               */
    int n_out, *out; /* the nodes handed over (positions in `order`)                    */
    double *out_w;   /* their weights, sum 1                                            */
    int n_some,
        *some; /* points whose predictive SD is known (positions in `order`)        */
    double *share, *pred_sd,
        *score;   /* n_some: what each stands for, its SD                      */
    int *picks;   /* batch, positions in `order`                                     */
    double *pred; /* batch: their forecast, relative to top                        */
    double *gp_work;
    struct nest_work mode;
};

struct emulator_rule emulator_rule_carve(const struct emulator *e,
                                         const struct emulator_settings *s,
                                         struct arena *a);

/* known: centre and L come from an earlier rule; else they are a start and scales. rule and axis_errors (0:
 * not known): of the lattice of centre and L, whose axes are shortened by them beforehand. CORE_FULL: more points
 * than the capacity. */
enum core_status emulator_rule_run(struct emulator *e, const struct emulator_settings *s,
                                   bool known, struct emulator_rule *r,
                                   const struct core_hooks *h, struct core_info *info);

/* Point `at` of all: its position, in v and in psi; g (d) <- the gradient of the log density in z; its value. */
const double *emulator_rule_point(const struct emulator_rule *r, int at);
const double *emulator_rule_psi(const struct emulator_rule *r, int at);
void emulator_rule_gradient(const struct emulator_rule *r, int at, double *g);
double emulator_rule_value(const struct emulator_rule *r, int at);

#endif
