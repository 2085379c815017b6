/* step_size.c: see step_size.h. */
#include <math.h>
#include "blackbox/step_size.h"

static const double GAMMA = 0.05, T0 = 10, KAPPA = 0.75;
static const double BOLD =
    2.5; /* steps are pulled to this multiple of the first: too long is cheap */

struct step_size step_size_from(double eps)
{
    return (struct step_size){.eps = eps, .mu = log(BOLD * eps), .log_final = log(eps)};
}

void step_size_learn(struct step_size *s, double a, double target, double most)
{
    double t = ++s->t, weight = pow(t, -KAPPA);
    s->error += (target - a - s->error) / (t + T0);
    double log_eps = fmin(s->mu - sqrt(t) / GAMMA * s->error, log(most));
    s->eps = exp(log_eps);
    s->log_final += weight * (log_eps - s->log_final);
}

double step_size_final(const struct step_size *s) { return exp(s->log_final); }
