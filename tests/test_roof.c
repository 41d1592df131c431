/* The kernels that measure a device do the work that is counted. */
/* ctest labels: device */
#include "device_helpers.h"

#include "ops/roof.h"

#include <math.h>
#include <stdlib.h>

enum { INVOCATIONS = 2 * PM_ROOF_LANES };

/* Every lane of every workgroup, for each number of chains; in precision f32 up to the rounding of fma. */
static void check_multiply_add(pm_precision precision, uint32_t chains, uint32_t rounds)
{
    pm_error error;
    pm_plan *plan;
    pm_graph *graph = pm_graph_create();
    pm_tensor y = pm_roof_multiply_add(graph, INVOCATIONS, chains, rounds);
    pm_output(graph, y);
    expect_ok(pm_plan_create(device, graph, &(pm_plan_options){.precision = precision}, &plan, &error),
              &error);
    assert_true(pm_plan_stats_of(plan).flops == 8.0 * INVOCATIONS * chains * rounds * PM_ROOF_STEPS);
    run_once(plan);
    float *values = malloc(sizeof *values * INVOCATIONS * 4);
    read_from(plan, y, values, sizeof *values * INVOCATIONS * 4);
    for (uint32_t i = 0; i < INVOCATIONS * 4; i++) {
        uint32_t lane = i / 4 % device->rules.gemm_lanes;
        float wanted = pm_roof_reference(lane, i % 4, chains, rounds);
        double allowed = precision == PM_EXACT ? 0 : 1e-6 * (double)wanted;
        if (!(fabs((double)values[i] - (double)wanted) <= allowed))
            fail_msg("element %u, %u chains: %.9g, not %.9g", i, chains, (double)values[i], (double)wanted);
    }
    free(values);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

static void test_multiply_add(void **state)
{
    static const uint32_t chains[] = {1, 3, 8};
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        check_multiply_add(PM_EXACT, chains[i], 1);
        check_multiply_add(PM_F32, chains[i], 1);
    }
    check_multiply_add(PM_EXACT, 2, 3);
}

static void test_copy(void **state)
{
    enum { COUNT = 10007 };
    pm_error error;
    pm_plan *plan;
    float *values = malloc(sizeof *values * COUNT), *got = malloc(sizeof *got * COUNT);
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) values[i] = (float)i - 0.5f;
    pm_graph *graph = pm_graph_create();
    pm_tensor x = pm_state(graph, "x", PM_DTYPE_F32, PM_SHAPE(COUNT)), y = pm_roof_copy(graph, x);
    pm_output(graph, y);
    expect_ok(pm_plan_create(device, graph, NULL, &plan, &error), &error);
    write_to(plan, x, values, sizeof *values * COUNT);
    run_once(plan);
    read_from(plan, y, got, sizeof *got * COUNT);
    assert_memory_equal(got, values, sizeof *values * COUNT);
    free(values);
    free(got);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

static void test_refusals(void **state)
{
    static const uint32_t wrong[][3] = {{0, 1, 1},    {5, 1, 1},     {1 << 25, 1, 1},
                                        {1024, 0, 1}, {1024, 17, 1}, {1024, 1, 0}};
    pm_error error;
    (void)state;
    for (uint32_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        pm_graph *graph = pm_graph_create();
        (void)pm_roof_multiply_add(graph, wrong[i][0], wrong[i][1], wrong[i][2]);
        expect_failure(pm_graph_status(graph, &error), PM_BAD_USAGE, &error, "roof: ");
        pm_graph_destroy(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiply_add),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
