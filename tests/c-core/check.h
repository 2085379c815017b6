/* check.h: assertions that count and go on, so that one run shows every failure. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>

#define CHECK(cond) check_true((cond), #cond, __FILE__, __LINE__)
/* |a - b| <= tol max(1, |b|); a NaN on either side fails. */
#define CHECK_NEAR(a, b, tol) check_near((a), (b), (tol), #a, __FILE__, __LINE__)

void check_true(bool ok, const char *what, const char *file, int line);
void check_near(double a, double b, double tol, const char *what, const char *file,
                int line);

void test_la(void);
void test_arrow(void);
void test_wishart(void);
void test_lr(void);
void test_gram(void);
void test_vb(void);
void test_sampler(void);
void test_gibbs(void);
void test_nest(void);
void test_gmm(void);
void test_lda(void);
void test_likelihood(void);
void test_glmm(void);
void test_glmm_gibbs(void);
void test_factorised(void);
void test_blackbox(void);
void test_hmc(void);
void test_joint(void);
void test_transform(void);
void test_lmm_iter(void);
void test_mlp(void);
void test_flow(void);
void test_vae(void);
void test_emulator(void);

#endif
