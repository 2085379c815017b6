/* likelihood.h: a likelihood of independent rows, for every engine of the generalised model.
 *
 *     log p(y_i | eta_i, extra) = f_i(eta_i, extra) + a number of y_i and size_i alone
 *
 * One likelihood is one file, likelihood_<name>.c: its formulas and one const struct. It has to
 * have f with its first two derivatives in eta, a start and its constant; what variational Bayes
 * needs,
 *
 *     F_i(mu, v) = E f_i(eta),  eta ~ N(mu, v),    and its derivatives in mu and v,
 *
 * has a default by quadrature, and the terms of the extra parameter one by differences; a closed form
 * is ten to fifty times as fast. d/dv = (d/dmu)^2 / 2 for every F but a bound's. An approximation of a
 * likelihood (the Polya-Gamma bound) is its struct with another `expect`.
 *
 * All take vectors of rows, so that nothing is called through a pointer row by row; extra stands
 * first in the globals t (lmm.h), and is not looked at where there is none. */
#ifndef MEANFIELD_LIKELIHOOD_H
#define MEANFIELD_LIKELIHOOD_H

#include <stdbool.h>
#include <stddef.h>

struct likelihood_rows {
    size_t n;
    const double *y, *size; /* size: trials, or the row's weight                       */
};

/* F and its derivatives, a number per row each. */
struct likelihood_terms {
    double *f, *m, *v, *mm, *mv, *vv;
};

/* In l = log extra: sum of F_l and F_ll over the rows, and row by row F_l,mu and F_l,v. */
struct likelihood_extra {
    double l, ll;
    double *lm, *lv;
};

/* The product of r copies of a symmetric rule of 2 half + 1 nodes: its point k has in dimension c the
 * node of number likelihood_grid_at(), negative: the mirror image of that. */
enum { LIKELIHOOD_GRID_MAX_R = 3 };
struct likelihood_grid {
    int r, half;
    const double *node; /* half + 1, increasing from zero                              */
};
static inline int likelihood_grid_size(const struct likelihood_grid *x)
{
    int n = 1;
    for (int c = 0; c < x->r; c++) n *= 2 * x->half + 1;
    return n;
}
static inline int likelihood_grid_at(const struct likelihood_grid *x, int k, int c)
{
    for (int d = 0; d < c; d++) k /= 2 * x->half + 1;
    return k % (2 * x->half + 1) - x->half;
}
static inline double likelihood_grid_node(const struct likelihood_grid *x, int k, int c)
{
    int at = likelihood_grid_at(x, k, c);
    return at < 0 ? -x->node[-at] : x->node[at];
}

struct likelihood {
    const char *name;
    int n_extra;      /* positive parameters beside eta: 0 or 1                         */
    bool polya_gamma; /* is f that of a binomial, for Polya-Gamma variables             */
    bool bound;       /* `expect` is below F: the rest is that of f itself              */

    /* Can there be such a row? */
    bool (*possible)(double y, double size);

    /* E log p(y | eta) - F, summed. F may leave out more than f does, where sums would cancel. */
    double (*constant)(const struct likelihood_rows *rows);

    /* A finite eta_i near the one that fits row i alone, and about the weight there, positive. */
    void (*start)(const struct likelihood_rows *rows, const double *extra, double *eta,
                  double *weight);

    /* Returns sum f, -inf or NaN where it overflows; f (n, or NULL: not wanted) gets the rows'. */
    double (*value)(const struct likelihood_rows *rows, const double *extra,
                    const double *eta, double *f);

    /* score_i <- df/d eta, weight_i <- -d^2f/d eta^2 (NULL: not wanted). */
    void (*score)(const struct likelihood_rows *rows, const double *extra,
                  const double *eta, double *score, double *weight);

    /* Returns sum F. NULL: likelihood_expect() integrates. */
    double (*expect)(const struct likelihood_rows *rows, const double *extra,
                     const double *mu, const double *v, struct likelihood_terms *e);

    /* sum F alone, v = 0 too; of f itself where `expect` is a bound. NULL: as `expect`. */
    double (*expect_value)(const struct likelihood_rows *rows, const double *extra,
                           const double *mu, const double *v);

    /* out_k += sum F at mu_i + e_i'z_k, z_k the points of x; e: r x n. False: not of these rows, and
     * nothing was added. NULL: of none. They are then taken point by point. */
    bool (*expect_grid)(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, const double *e,
                        const struct likelihood_grid *x, double *out);

    /* NULL: by differences, where there is an extra parameter. */
    void (*extra_terms)(const struct likelihood_rows *rows, const double *extra,
                        const double *mu, const double *v, struct likelihood_extra *x);
};

extern const struct likelihood likelihood_binomial, likelihood_poisson, likelihood_negbin,
    likelihood_binomial_pg;

/* The likelihoods by the code that R passes; NULL for any other number. */
const struct likelihood *likelihood_of(int code);

/* Those of the struct, or else their defaults. */
double likelihood_expect(const struct likelihood *L, const struct likelihood_rows *rows,
                         const double *extra, const double *mu, const double *v,
                         struct likelihood_terms *e);
double likelihood_expect_value(const struct likelihood *L,
                               const struct likelihood_rows *rows, const double *extra,
                               const double *mu, const double *v);
void likelihood_expect_grid(const struct likelihood *L,
                            const struct likelihood_rows *rows, const double *extra,
                            const double *mu, const double *v, const double *e,
                            const struct likelihood_grid *x, double *out);
void likelihood_extra_terms(const struct likelihood *L,
                            const struct likelihood_rows *rows, const double *extra,
                            const double *mu, const double *v,
                            struct likelihood_extra *x);

#endif
