/* main.c: runs every test of the core; exit status 1 when a check failed. */
#include <math.h>
#include <stdio.h>
#include "check.h"
#include "support.h"

static long passed, failed;

void check_true(bool ok, const char *what, const char *file, int line)
{
    if (ok) {
        passed++;
    } else if (++failed <= 30) { /* a broken kernel fails thousands of times */
        fprintf(stderr, "%s:%d: %s\n", file, line, what);
    }
}

void check_near(double a, double b, double tol, const char *what, const char *file,
                int line)
{
    bool ok = fabs(a - b) <= tol * fmax(1, fabs(b));
    check_true(ok, what, file, line);
    if (!ok && failed <= 30) fprintf(stderr, "    got %.17g, expected %.17g\n", a, b);
}

static void run(const char *name, void (*test)(void))
{
    long p = passed, f = failed;
    stub_seed(20240501); /* each module sees the same numbers whatever ran before it */
    test();
    release_all();
    printf("%-10s %6ld passed, %ld failed\n", name, passed - p, failed - f);
    fflush(stdout); /* so that a sanitizer abort shows where it happened */
}

int main(void)
{
    run("la", test_la);
    run("arrow", test_arrow);
    run("wishart", test_wishart);
    run("lr", test_lr);
    run("gram", test_gram);
    run("vb", test_vb);
    run("sampler", test_sampler);
    run("gibbs", test_gibbs);
    run("nest", test_nest);
    run("gmm", test_gmm);
    run("lda", test_lda);
    run("likelihood", test_likelihood);
    run("glmm", test_glmm);
    run("glmm_gibbs", test_glmm_gibbs);
    run("factorised", test_factorised);
    run("blackbox", test_blackbox);
    run("hmc", test_hmc);
    run("joint", test_joint);
    run("transform", test_transform);
    run("lmm_iter", test_lmm_iter);
    run("mlp", test_mlp);
    run("flow", test_flow);
    run("vae", test_vae);
    run("emulator", test_emulator);
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed > 0;
}
