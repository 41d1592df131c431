/* Precision fast: attention by matrix units is what it should be, within what rounding its operands to f16
 * may do, and so is every mixture of its kernels with those that need no matrix units; rows that nobody sees
 * are not read; and a kernel that is broken is noticed. Skipped on devices without matrix units. */
/* ctest labels: device */
#include "device_helpers.h"

#include "broken_shader.h"

#include "ops/attention.h"
#include "ops/table.h"
#include "plan/plan.h"
#include "plan/verify.h"

#include <math.h>
#include <stdio.h>

static const char *const kernels[] = {"attention_matrix", "attention_dq_matrix", "attention_dkv_matrix"};
enum { KERNELS = sizeof kernels / sizeof kernels[0], FORWARD = 1, ALL = (1 << KERNELS) - 1 };

static pm_device *open_with(uint64_t off)
{
    pm_error error = {0};
    pm_device *opened;
    pm_device_options options = {.off = off | PM_BIT(PM_CPU_KERNELS)};
    expect_ok(pm_device_open(&options, &opened, &error), &error);
    return opened;
}

static bool is_case(const pm_case *test)
{
    uint32_t width = test->p[4];
    return !test->bench && !test->large && !test->no_gradient && test->p[1] >= 16 && test->p[2] >= 16 &&
           (width == 32 || width == 64 || width == 128);
}

/* Which of the kernels a plan of the case has, as bits. */
static uint32_t kernels_of(pm_device *on, const pm_case *test)
{
    pm_error error = {0};
    pm_plan *plan;
    uint32_t found = 0;
    pm_graph *graph = pm_graph_create();
    pm_plan_options options = {.precision = PM_FAST};
    pm_tensor y = test->build(graph, test->p);
    pm_output(graph, pm_backward(graph, pm_sum(graph, pm_mul(graph, y, y))));
    expect_ok(pm_plan_create(on, graph, &options, &plan, &error), &error);
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        for (uint32_t k = 0; k < KERNELS; k++)
            found |= (uint32_t)(strcmp(plan->dispatches[i].shader, kernels[k]) == 0) << k;
    }
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    return found;
}

static pm_verify_result verify(pm_device *on, const pm_case *test)
{
    pm_error error = {0};
    pm_verify_result result;
    expect_ok(pm_verify_case(on, &pm_op_attention, test, PM_FAST, false, &result, &error), &error);
    return result;
}

/* As the rules have it; with registers for one result at a time, as on Intel; and with so little shared
 * memory that some heads have a kernel forwards alone. */
static void all_mixtures_are_right(void **state)
{
    static const struct {
        uint32_t fragments, shared_bytes;
    } settings[] = {{0, 0}, {2, 0}, {0, 13000}};
    const uint32_t fragments = device->rules.attention_fragments, shared_bytes = device->rules.shared_bytes;
    uint32_t used[1 << KERNELS] = {0};
    (void)state;
    if (!pm_device_uses(device, PM_MATRIX_ATTENTION)) skip();
    for (uint32_t i = 0; i < pm_op_attention.n_cases; i++) {
        const pm_case *test = &pm_op_attention.cases[i];
        if (!is_case(test)) continue;
        for (uint32_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
            /* A CPU driver takes seconds to compile each. */
            if (s == 1 && test->p[5] != PM_MASK_NONE) continue;
            if (s == 2 && test->p[4] != 128) continue;
            device->rules.attention_fragments = settings[s].fragments ? settings[s].fragments : fragments;
            device->rules.shared_bytes = settings[s].shared_bytes ? settings[s].shared_bytes : shared_bytes;
            used[kernels_of(device, test)]++;
            pm_verify_result result = verify(device, test);
            if (!result.ok) fail_msg("%s", result.message);
        }
        device->rules.attention_fragments = fragments;
        device->rules.shared_bytes = shared_bytes;
    }
    assert_true(used[ALL] >= 8 && used[FORWARD] >= 2);
    pm_device *off = open_with(PM_BIT(PM_MATRIX_ATTENTION));
    assert_false(pm_device_uses(off, PM_MATRIX_ATTENTION));
    assert_int_equal(kernels_of(off, &pm_op_attention.cases[0]), 0);
    pm_device_close(off);
}

/* What a case makes with matrix units and without: near each other, but not the same. */
static void both_kinds_agree(void **state)
{
    size_t bytes[2];
    float *values[2];
    double square = 0, difference = 0;
    const pm_case *test = pm_op_attention.cases;
    (void)state;
    if (!pm_device_uses(device, PM_MATRIX_ATTENTION)) skip();
    while (!is_case(test)) test++;
    for (uint32_t k = 0; k < 2; k++) {
        pm_error error = {0};
        pm_plan *plan;
        pm_graph *graph = pm_graph_create();
        pm_plan_options options = {.precision = PM_FAST};
        device->rules.on ^= k << PM_MATRIX_ATTENTION;
        pm_tensor y = test->build(graph, test->p);
        pm_tensor gradient = pm_backward(graph, pm_sum(graph, pm_mul(graph, y, y)));
        pm_output(graph, gradient);
        expect_ok(pm_plan_create(device, graph, &options, &plan, &error), &error);
        values[k] = run_gradient(graph, plan, gradient, &bytes[k]);
        device->rules.on ^= k << PM_MATRIX_ATTENTION;
    }
    assert_int_equal(bytes[0], bytes[1]);
    for (size_t i = 0; i < bytes[0] / sizeof(float); i++) {
        double a = (double)values[0][i], b = (double)values[1][i];
        square += b * b;
        difference += (a - b) * (a - b);
    }
    assert_true(difference > 0 && difference < 4e-6 * square);
    free(values[0]);
    free(values[1]);
}

/* Causal, 139 positions in blocks of at most 64: of what no query of the first block sees, nothing is read.
 */
static void blocks_that_nobody_sees_are_skipped(void **state)
{
    enum { LENGTH = 139, WIDTH = 32, COUNT = LENGTH * WIDTH, MOST_ROWS = 64 };
    static float values[COUNT], y[COUNT], again[COUNT];
    pm_error error = {0};
    pm_plan *plan;
    (void)state;
    if (!pm_device_uses(device, PM_MATRIX_ATTENTION)) skip();
    pm_graph *graph = pm_graph_create();
    pm_tensor in[3];
    for (uint32_t t = 0; t < 3; t++)
        in[t] = pm_state(graph, t == 0 ? "q" : t == 1 ? "k" : "v", PM_DTYPE_F32, PM_SHAPE(1, LENGTH, WIDTH));
    pm_attention_args args = {.heads = 1, .mask = PM_MASK_CAUSAL};
    pm_tensor out = pm_attention(graph, in[0], in[1], in[2], args);
    pm_output(graph, out);
    expect_ok(pm_plan_create(device, graph, &(pm_plan_options){.precision = PM_FAST}, &plan, &error), &error);
    assert_string_equal(plan->dispatches[0].shader, kernels[0]);
    for (uint32_t i = 0; i < COUNT; i++) values[i] = (float)(i * 7919 % 1013) / 1013.0f - 0.5f;
    for (uint32_t t = 0; t < 3; t++) write_to(plan, in[t], values, sizeof values);
    run_once(plan);
    read_from(plan, out, y, sizeof y);
    for (uint32_t i = MOST_ROWS * WIDTH; i < COUNT; i++) values[i] = NAN;
    for (uint32_t t = 0; t < 3; t++) write_to(plan, in[t], values, sizeof values);
    run_once(plan);
    read_from(plan, out, again, sizeof again);
    assert_memory_equal(y, again, MOST_ROWS * WIDTH * sizeof(float));
    assert_true(isnan(again[COUNT - 1]));
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

/* Where a device binds less than all samples at once, dispatches run in pieces, each of some of them. */
static void pieces_have_the_same_bits(void **state)
{
    enum { RANGE = 16 << 10 };
    size_t bytes;
    void *values[2];
    uint32_t pieces[2];
    const pm_case *test = pm_op_attention.cases;
    (void)state;
    if (!pm_device_uses(device, PM_MATRIX_ATTENTION)) skip();
    while (!is_case(test) || test->p[0] < 2) test++;
    for (uint32_t k = 0; k < 2; k++) {
        pm_error error = {0};
        pm_plan *plan;
        pm_graph *graph = pm_graph_create();
        pm_plan_options options = {.precision = PM_FAST};
        pm_tensor y = test->build(graph, test->p);
        pm_tensor gradient = pm_backward(graph, pm_sum(graph, pm_mul(graph, y, y)));
        pm_output(graph, gradient);
        expect_ok(plan_within(k ? RANGE : 0, device, graph, &options, &plan, &error), &error);
        pieces[k] = pm_plan_stats_of(plan).pieces;
        values[k] = run_gradient(graph, plan, gradient, &bytes);
    }
    assert_true(pieces[1] >= pieces[0] + KERNELS);
    assert_memory_equal(values[0], values[1], bytes);
    free(values[0]);
    free(values[1]);
}

/* Of decoding, and of what has no kernel, nothing runs by matrix units. */
static void others_stay(void **state)
{
    (void)state;
    if (!pm_device_uses(device, PM_MATRIX_ATTENTION)) skip();
    for (uint32_t i = 0; i < pm_op_attention.n_cases; i++) {
        const pm_case *test = &pm_op_attention.cases[i];
        if (test->bench || test->large || test->no_gradient || is_case(test)) continue;
        assert_int_equal(kernels_of(device, test), 0);
    }
}

/* One instruction of one kernel: a difference that became a sum. */
static void a_broken_kernel_is_noticed(void **state)
{
    const pm_case *test = pm_op_attention.cases;
    (void)state;
    if (!pm_device_uses(device, PM_MATRIX_ATTENTION)) skip();
    while (!is_case(test)) test++;
    for (uint32_t k = 0; k < KERNELS; k++) {
        pm_device *own = broken_device(kernels[k], BROKEN_F_SUB, BROKEN_F_ADD);
        own->matrix_tested = own->attention_tested = true; /* or they would not be used */
        pm_verify_result result = verify(own, test);
        if (!broken.replaced || result.ok) fail_msg("%s: %u replaced", kernels[k], broken.replaced);
        assert_non_null(strstr(result.message, k == 0 ? "attention departs" : "attention_backward departs"));
        pm_device_close(own);
    }
    /* The self-test turns such a kernel off. */
    pm_device *own = broken_device(kernels[KERNELS - 1], BROKEN_F_SUB, BROKEN_F_ADD);
    assert_true(verify(own, test).ok);
    assert_false(pm_device_uses(own, PM_MATRIX_ATTENTION));
    assert_true(pm_device_uses(own, PM_MATRIX_UNITS));
    assert_non_null(strstr(pm_device_choice(own), "failed their self-test"));
    pm_device_close(own);
}

static int open_fast(void **state)
{
    (void)state;
    device = open_with(0);
    return 0;
}

int main(void)
{
    /* Matrix units are idle where a CPU driver's kernels are on. */
    (void)setenv("PUMICE_OFF", "cpu-kernels", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_mixtures_are_right),
        cmocka_unit_test(both_kinds_agree),
        cmocka_unit_test(blocks_that_nobody_sees_are_skipped),
        cmocka_unit_test(pieces_have_the_same_bits),
        cmocka_unit_test(others_stay),
        cmocka_unit_test(a_broken_kernel_is_noticed),
    };
    return cmocka_run_group_tests(tests, open_fast, close_device);
}
