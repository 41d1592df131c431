/* Loops longer than 65,535 rounds. Mesa's CPU driver ends all loops of an invocation after so many, and says
 * nothing: on it, long sums are shared out among dispatches, and what cannot be is refused. */
/* ctest labels: device */
#include "device_helpers.h"

#include "ops/table.h"
#include "plan/verify.h"

#include <string.h>

typedef struct long_case {
    const pm_op *op;
    const char *name;
    uint32_t p[10]; /* as the operator's first case takes them */
    bool refused;   /* by a driver that ends loops */
} long_case;

static const long_case cases[] = {
    {&pm_op_matmul, "300,000 terms, AB", {PM_AB, 3, 4, 300000}, false},
    {&pm_op_matmul, "300,000 terms, ABT", {PM_ABT, 3, 4, 300000}, false},
    {&pm_op_matmul, "300,001 terms, ATB, bias, residual", {PM_ATB, 3, 5, 300001, 0, 0, 1, 1}, false},
    {&pm_op_matmul, "270,000 terms, two matrices, ABT", {PM_ABT, 2, 3, 270000, 2, 2, 0, 0}, false},
    {&pm_op_softmax, "rows of 80,000", {2, 80000, 1}, false},
    {&pm_op_softmax, "rows of 100,000", {2, 100000, 1}, true},
    {&pm_op_cross_entropy, "rows of 300,000", {0, 2, 300000}, false},
    {&pm_op_embedding, "60,000 uses of one row", {1, 4, 60000, 1, 1}, false},
    {&pm_op_embedding, "40,000 uses of five rows", {5, 4, 40000, 1, 5}, false},
    {&pm_op_embedding, "90,000 uses of one row", {1, 4, 90000, 1, 1}, true},
    {&pm_op_sum_to, "a column of 200,000", {200000, 3, 0, 0, 1, 3, 0, 0}, false},
    {&pm_op_sum_to, "a row of 600,000", {2, 600000, 0, 0, 2, 1, 0, 0}, false},
    {&pm_op_norm, "layers of 120,000 channels", {2, 0, 0, 120000, 0, 3}, false},
    {&pm_op_norm, "layers of 150,000 channels", {2, 0, 0, 150000, 0, 3}, true},
    {&pm_op_norm, "groups of 300,000 pixels", {1, 600, 500, 4, 2, 3}, false},
    {&pm_op_mse, "900,000 elements", {0, 3, 300, 1000}, false},
    {&pm_op_conv2d, "250,000 pixels", {1, 500, 500, 4, 4, 3, 1, 1111, 1}, false},
    {&pm_op_conv2d, "300,000 pixels", {1, 600, 500, 4, 4, 1, 1, 0, 1}, true},
    {&pm_op_draw_tokens, "150,000 tokens", {2, 150000, 3, 40, 90, 1, 10, 0, 0, 0}, false},
};

/* A sum of n terms in f32, one after another, errs by about sqrt(n) 2^-24 of a term; a lost third of it by 10
 * to 100 %. */
static const double tolerance = 2e-4;

static void long_sums_are_whole_or_refused(void **state)
{
    (void)state;
    bool ends_loops = strstr(pm_device_facts_of(device)->driver, "llvmpipe") != NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const long_case *c = &cases[i];
        pm_case test = {.name = c->name, .build = c->op->cases[0].build, .tolerance = tolerance};
        pm_verify_result result;
        pm_error error = {0};
        memcpy(test.p, c->p, sizeof test.p);
        pm_status status = pm_verify_case(device, c->op, &test, PM_EXACT, false, &result, &error);
        if (c->refused && ends_loops) {
            assert_int_equal(status, PM_BAD_USAGE);
            assert_non_null(strstr(error.message, "ends loops"));
            continue;
        }
        expect_ok(status, &error);
        if (!result.ok) fail_msg("%s", result.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(long_sums_are_whole_or_refused)};
    return cmocka_run_group_tests(tests, open_device, close_device);
}
