/* Shared-memory tiles, which GPUs use, have the bits of a CPU driver's register tiles: every case of products
 * and convolutions, forward and backward, with all outputs forced through them; and where operands are bound
 * in parts, or the device has Vulkan's least of shared memory and invocations. */
/* ctest labels: device */
#include "device_helpers.h"

#include "ops/table.h"
#include "plan/plan.h"

#include <stdlib.h>

enum { KIB = 1024 };

/* The gradient of the sum of squares of a case's output, to be freed. */
static void *gradient_of(pm_device *on, const pm_case *test, size_t *bytes, uint32_t *shared)
{
    pm_plan *plan;
    pm_graph *graph;
    pm_tensor gradient = plan_gradient(on, test, &graph, &plan);
    for (uint32_t i = 0; i < plan->n_dispatches; i++)
        *shared += strstr(plan->dispatches[i].shader, "_shared") != NULL;
    return run_gradient(graph, plan, gradient, bytes);
}

static void compare(const pm_op *op, pm_device_limits limits)
{
    pm_device_options options = {.limits = limits, .off = 1u << PM_CPU_KERNELS};
    pm_error error = {0};
    pm_device *other;
    uint32_t wrong = 0, shared = 0, none = 0;
    expect_ok(pm_device_open(&options, &other, &error), &error);
    assert_true(pm_device_uses(other, PM_SHARED_TILES));
    for (uint32_t i = 0; i < op->n_cases; i++) {
        const pm_case *test = &op->cases[i];
        size_t bytes, other_bytes;
        if (test->bench || test->large) continue;
        void *want = gradient_of(device, test, &bytes, &none);
        void *got = gradient_of(other, test, &other_bytes, &shared);
        assert_int_equal(bytes, other_bytes);
        if (memcmp(want, got, bytes) != 0) {
            print_error("%s (%s): other bits\n", op->name, test->name);
            wrong++;
        }
        free(want);
        free(got);
    }
    assert_true(shared >= op->n_cases);
    assert_int_equal(wrong, 0);
    pm_device_close(other);
}

static void products_have_the_same_bits(void **state)
{
    (void)state;
    compare(&pm_op_matmul, (pm_device_limits){.tile = {4, 1}});
}

static void convolutions_have_the_same_bits(void **state)
{
    (void)state;
    compare(&pm_op_conv2d, (pm_device_limits){.tile = {4, 2}, .shared = 16 * KIB, .invocations = 128});
}

static void parts_have_the_same_bits(void **state)
{
    (void)state;
    compare(&pm_op_matmul, (pm_device_limits){.tile = {4, 1}, .storage_range = 64 * KIB});
    compare(&pm_op_conv2d, (pm_device_limits){.tile = {4, 1}, .storage_range = 64 * KIB});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_have_the_same_bits),
        cmocka_unit_test(convolutions_have_the_same_bits),
        cmocka_unit_test(parts_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
