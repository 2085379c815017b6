/* step_size.h: the step size of a leapfrog by dual averaging [Hoffman & Gelman 2014, section 3.2].
 *
 * After t transitions with acceptances a_1, ..., a_t
 *
 *     log eps = mu - sqrt(t) / gamma  H_t,    H_t = (1 - 1 / (t + t0)) H_{t-1} + (target - a_t) / (t + t0)
 *
 * with gamma = .05, t0 = 10; sampling goes on with the average of log eps in which the t-th has
 * weight t^-.75. */
#ifndef MEANFIELD_STEP_SIZE_H
#define MEANFIELD_STEP_SIZE_H

struct step_size {
    double eps;                  /* of the next transition of the warm-up     */
    double mu, error, log_final; /* H_t; log of step_size_final()             */
    int t;
};

/* From a step that is about right. */
struct step_size step_size_from(double eps);

/* a: acceptance of the last transition; eps stays below `most`. */
void step_size_learn(struct step_size *s, double a, double target, double most);

double step_size_final(const struct step_size *s);

#endif
