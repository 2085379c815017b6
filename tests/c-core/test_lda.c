/* test_lda.c: topic models: special functions at known values, a document against naive sums, sweeps,
 * the sampler's bookkeeping. */
#include <math.h>
#include <string.h>
#include "check.h"
#include "base/dirichlet.h"
#include "topics/lda_gibbs.h"
#include "topics/lda_lr.h"
#include "topics/lda_vb.h"
#include "support.h"

static const double EULER = 0.577215664901532860606512090082;

static void check_functions(void)
{
    const double at[] = {1e-6, 0.3, 1, 1.5, 4, 7.999, 8, 30, 1e5};
    double slope;
    CHECK_NEAR(dirichlet_digamma(1), -EULER, 4e-15);
    CHECK_NEAR(dirichlet_digamma(0.5), -EULER - 2 * log(2), 4e-15);
    CHECK_NEAR(dirichlet_digamma(4), 11.0 / 6 - EULER, 4e-15);
    for (int i = 0; i < 9; i++) {
        double x = at[i];
        CHECK_NEAR(dirichlet_log_gamma(x, &slope), lgamma(x), 4e-15);
        CHECK_NEAR(slope, dirichlet_digamma(x), 0);
        CHECK_NEAR(dirichlet_digamma(x + 1) - dirichlet_digamma(x), 1 / x, 1e-14);
    }
    double a[3] = {2, 2, 2}, mean_log[3];
    CHECK_NEAR(dirichlet_bound(3, 1, 2, a, mean_log), 0, 1e-14); /* q is the prior */
    CHECK_NEAR(mean_log[1],
               1 - EULER - (1 + 1.0 / 2 + 1.0 / 3 + 1.0 / 4 + 1.0 / 5 - EULER), 1e-14);
}

/* Documents of some of the words, the third of none. */
static struct lda corpus(int docs, int words, int k)
{
    int *ptr = ints((size_t) docs + 1), *word = ints((size_t) (docs * words)), cells = 0;
    double *count = zeros((size_t) (docs * words));
    ptr[0] = 0;
    for (int d = 0; d < docs; d++) {
        for (int w = 0; w < words; w++) {
            int n = d == 2 ? 0 : (d * 7 + w * 3 + d * w) % 4;
            if (n) word[cells] = w;
            if (n) count[cells++] = n;
        }
        ptr[d + 1] = cells;
    }
    return (struct lda){.n_docs = docs,
                        .n_words = words,
                        .k = k,
                        .alpha = 0.4,
                        .eta = 0.3,
                        .ptr = ptr,
                        .word = word,
                        .count = count};
}

struct fitted {
    struct lda_fit q;
    struct lda_fit_work w;
    struct core_info info;
    enum core_status status;
};

static struct fitted made(const struct lda *g, int rows)
{
    struct fitted z;
    struct arena a = {NULL, 0};
    size_t k = (size_t) g->k;
    memset(&z, 0, sizeof z);
    z.w = lda_vb_work_carve(g, &a);
    a = arena_of(a.used);
    z.w = lda_vb_work_carve(g, &a);
    z.q.lambda = nans(lda_topic_size(g));
    z.q.gamma = nans(k * (size_t) g->n_docs);
    z.q.trace = nans((size_t) rows);
    lda_start(g, 5, z.q.lambda);
    for (int d = 0; d < g->n_docs; d++) lda_even(g, d, z.q.gamma + k * (size_t) d);
    return z;
}

/* gamma, its counts and the bound against sums cell by cell. */
static void check_document(int k)
{
    struct lda g = corpus(4, 9, k);
    struct fitted z = made(&g, 1);
    double *S = zeros(lda_topic_size(&g)), *phi = nans((size_t) k),
           *log_t = nans((size_t) k);
    const struct lda_inner inner = {1e-14, 5000};
    lda_topics_of(&g, z.q.lambda, &z.w.t);
    for (int d = 0; d < g.n_docs; d++) {
        double *gamma = z.q.gamma + k * d, total = 0, bound;
        memset(S, 0, sizeof(double) * lda_topic_size(&g));
        bound = lda_document(&g, d, &z.w.t, inner, gamma, S, &z.w.w);
        double *to = zeros((size_t) k), *counts = zeros(lda_topic_size(&g));
        for (int j = 0; j < k; j++) total += gamma[j];
        for (int j = 0; j < k; j++)
            log_t[j] = dirichlet_digamma(gamma[j]) - dirichlet_digamma(total);
        double naive = dirichlet_bound(k, 1, g.alpha, gamma, nans((size_t) k));
        for (int i = g.ptr[d]; i < g.ptr[d + 1]; i++) {
            naive += g.count[i] * lda_phi(&g, g.word[i], &z.w.t, log_t, phi);
            for (int j = 0; j < k; j++) to[j] += g.count[i] * phi[j];
            for (int j = 0; j < k; j++)
                AT(counts, j, g.word[i], k) += g.count[i] * phi[j];
        }
        CHECK_NEAR(bound, naive, 1e-12);
        for (int j = 0; j < k; j++) CHECK_NEAR(gamma[j], g.alpha + to[j], 1e-10);
        for (size_t i = 0; i < lda_topic_size(&g); i++)
            CHECK_NEAR(S[i], counts[i], 1e-12);
    }
}

/* Without words V^-1 - H is V^-1: the variances are q's; with words they are no smaller. */
static void check_response(int k)
{
    struct lda g = corpus(4, 9, k);
    struct fitted z = made(&g, 1);
    struct arena a = {NULL, 0};
    struct lda_lr_work w = lda_lr_work_carve(&g, &a);
    a = arena_of(a.used);
    w = lda_lr_work_carve(&g, &a);
    lda_topics_of(&g, z.q.lambda, &z.w.t);
    for (int d = 0; d < g.n_docs; d++) {
        double *gamma = z.q.gamma + k * d, *var = nans((size_t) k), total = 0;
        lda_document(&g, d, &z.w.t, (struct lda_inner){1e-14, 5000}, gamma, NULL, &z.w.w);
        CHECK(lda_lr_document(&g, d, &z.w.t, gamma, var, &w));
        for (int j = 0; j < k; j++) total += gamma[j];
        for (int j = 0; j < k; j++) {
            double p = gamma[j] / total, own = p * (1 - p) / (total + 1);
            if (d == 2)
                CHECK_NEAR(var[j], own, 1e-13);
            else
                CHECK(k == 1 ? var[j] == 0 : var[j] > own);
        }
    }
}

static void check_sweeps(void)
{
    struct lda g = corpus(12, 9, 3);
    enum { ROWS = 400 };
    const struct lda_control ctl = {1e-12, ROWS, false, {1e-3, 4}};
    struct fitted z = made(&g, ROWS);
    z.status = lda_vb_run(&g, &ctl, &z.q, &z.w, NULL, &z.info);
    CHECK(z.status == CORE_OK || z.status == CORE_MAXIT);
    for (int i = 1; i < z.q.sweeps; i++) CHECK(z.q.trace[i] > z.q.trace[i - 1] - 1e-10);
    int at = 0;
    struct core_hooks h = {stop_at, &at};
    struct fitted stopped = made(&g, ROWS);
    CHECK(lda_vb_run(&g, &ctl, &stopped.q, &stopped.w, &h, &z.info) == CORE_INTERRUPTED);
    int *order = ints(12);
    const struct lda_steps steps = {30, 5, false, 0, 0.7, 1, {1e-3, 20}};
    struct fitted s = made(&g, ROWS);
    CHECK(lda_vb_stochastic(&g, &steps, &s.q, order, &s.w, NULL, &s.info) == CORE_OK);
    CHECK(s.q.sweeps == 30);
    int seen = 0;
    for (int i = 0; i < 12; i++) seen |= 1 << order[i];
    CHECK(seen == (1 << 12) - 1); /* an order still */
    at = 2;
    CHECK(lda_vb_stochastic(&g, &steps, &s.q, order, &s.w, &h, &s.info) ==
          CORE_INTERRUPTED);
}

static void check_sampler(void)
{
    struct lda g = corpus(5, 6, 3);
    int cells = g.ptr[g.n_docs];
    size_t words = 0, size = lda_gibbs_size(&g);
    for (int i = 0; i < cells; i++) words += (size_t) g.count[i];
    enum { KEPT = 6 };
    int *label = ints((size_t) cells);
    for (int i = 0; i < cells; i++) label[i] = i % 3;
    struct lda_gibbs c = {label,      NULL,          KEPT, nans(KEPT * size),
                          nans(KEPT), ints(KEPT * 3)};
    struct arena a = {NULL, 0};
    struct lda_gibbs_work w = lda_gibbs_work_carve(&g, words, &a);
    a = arena_of(a.used);
    w = lda_gibbs_work_carve(&g, words, &a);
    struct lda_gibbs_chain x = {&g, &c, &w};
    const struct sampler s = lda_gibbs_sampler(&x);
    struct core_info info;
    stub_seed(4);
    const struct sampler_control ctl = {16, 4, 2};
    CHECK(sampler_run(&s, &ctl, NULL, &info) == CORE_OK);
    int total = 0, by_word = 0, by_doc = 0;
    for (int k = 0; k < 3; k++) total += w.n_k[k];
    for (int i = 0; i < 18; i++) by_word += w.n_kw[i];
    for (int i = 0; i < 15; i++) by_doc += w.n_dk[i];
    CHECK(total == (int) words && by_word == total && by_doc == total);
    for (int row = 0; row < KEPT; row++) { /* every distribution sums to one */
        double sum = 0;
        for (size_t j = 0; j < size; j++) sum += c.draws[(size_t) row + KEPT * j];
        CHECK_NEAR(sum, 1 + 3 + 5, 1e-12);
        CHECK(c.perm[row] + c.perm[row + KEPT] + c.perm[row + 2 * KEPT] == 3);
        CHECK(isfinite(c.log_joint[row]));
    }
}

void test_lda(void)
{
    check_functions();
    for (int k = 1; k <= 6; k++) {
        check_document(k);
        check_response(k);
    }
    check_sweeps();
    check_sampler();
}
