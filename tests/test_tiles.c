/* Shared-memory tiles, which GPUs use, and tiles of lanes that fetch for each other have the bits of a CPU
 * driver's register tiles: every case of products and convolutions, forward and backward, with all outputs
 * forced through them; and where operands are bound in parts, or the device has Vulkan's least of shared
 * memory and invocations. */
/* ctest labels: device */
#include "device_helpers.h"

#include "ops/table.h"
#include "plan/plan.h"

#include <stdlib.h>

enum { KIB = 1024 };

/* Of a dispatch: a part of its kernel's name, or that sums of its register tiles leave them in a loop. */
static const char in_loop_kind[] = "(in a loop)";

static bool is_of_kind(const pm_dispatch *dispatch, const char *kind)
{
    enum { FLAGS = 10, IN_LOOP = 2 }; /* TILE_FLAGS in shaders/include/tile.glsl */
    if (kind == in_loop_kind) return dispatch->n_spec > FLAGS && (dispatch->spec[FLAGS] & IN_LOOP) != 0;
    return strstr(dispatch->shader, kind) != NULL;
}

/* The gradient of the sum of squares of a case's output, to be freed. */
static void *gradient_of(pm_device *on, const pm_case *test, const char *kind, size_t *bytes, uint32_t *count)
{
    pm_plan *plan;
    pm_graph *graph;
    pm_tensor gradient = plan_gradient(on, test, &graph, &plan);
    for (uint32_t i = 0; i < plan->n_dispatches; i++) *count += is_of_kind(&plan->dispatches[i], kind);
    return run_gradient(graph, plan, gradient, bytes);
}

/* Every case on `other`, whose tiles' kernels are of the kind, and on a device that has none of those. */
static void compare(const pm_op *op, pm_device *other, const char *kind)
{
    pm_device_options plain = {.off = PM_BIT(PM_SHARED_FETCHES)};
    pm_error error = {0};
    pm_device *one;
    uint32_t wrong = 0, of_kind = 0, none = 0;
    expect_ok(pm_device_open(&plain, &one, &error), &error);
    one->rules.leaves_in_loop = false;
    for (uint32_t i = 0; i < op->n_cases; i++) {
        const pm_case *test = &op->cases[i];
        size_t bytes, other_bytes;
        if (test->bench || test->large) continue;
        void *want = gradient_of(one, test, kind, &bytes, &none);
        void *got = gradient_of(other, test, kind, &other_bytes, &of_kind);
        assert_int_equal(bytes, other_bytes);
        if (memcmp(want, got, bytes) != 0) {
            print_error("%s (%s): other bits\n", op->name, test->name);
            wrong++;
        }
        free(want);
        free(got);
    }
    assert_true(of_kind >= op->n_cases);
    assert_int_equal(none, 0);
    assert_int_equal(wrong, 0);
    pm_device_close(one);
}

static void compare_shared(const pm_op *op, pm_device_limits limits)
{
    pm_device_options options = {.limits = limits, .off = PM_BIT(PM_CPU_KERNELS)};
    pm_error error = {0};
    pm_device *other;
    expect_ok(pm_device_open(&options, &other, &error), &error);
    assert_true(pm_device_uses(other, PM_SHARED_TILES));
    compare(op, other, "_shared");
    pm_device_close(other);
}

static void products_have_the_same_bits(void **state)
{
    (void)state;
    compare_shared(&pm_op_matmul, (pm_device_limits){.tile = {4, 1}});
}

static void convolutions_have_the_same_bits(void **state)
{
    (void)state;
    compare_shared(&pm_op_conv2d, (pm_device_limits){.tile = {4, 2}, .shared = 16 * KIB, .invocations = 128});
}

static void parts_have_the_same_bits(void **state)
{
    (void)state;
    compare_shared(&pm_op_matmul, (pm_device_limits){.tile = {4, 1}, .storage_range = 64 * KIB});
    compare_shared(&pm_op_conv2d, (pm_device_limits){.tile = {4, 1}, .storage_range = 64 * KIB});
}

/* Of lanes that fetch for each other; also where the rules think it too slow. Sums leave a tile in a loop, or
 * unrolled, whatever the rules think. */
static void compare_leaving_lanes(const pm_op *op, pm_device_limits limits, bool in_loop)
{
    pm_device_options options = {.limits = limits};
    pm_error error = {0};
    pm_device *other;
    expect_ok(pm_device_open(&options, &other, &error), &error);
    const pm_device_facts *facts = pm_device_facts_of(other);
    bool can = facts->type == PM_DEVICE_CPU && facts->subgroup_shows &&
               facts->subgroup_size == other->rules.gemm_lanes;
    other->rules.on |= PM_BIT(PM_SHARED_FETCHES);
    other->rules.leaves_in_loop = in_loop;
    if (can) compare(op, other, "_lanes");
    pm_device_close(other);
    if (!can) skip();
}

static void compare_lanes(const pm_op *op, pm_device_limits limits)
{
    compare_leaving_lanes(op, limits, false);
}

static void lanes_have_the_same_bits(void **state)
{
    (void)state;
    compare_lanes(&pm_op_matmul, (pm_device_limits){.tile = {16, 1}});
    compare_lanes(&pm_op_conv2d, (pm_device_limits){.tile = {16, 2}});
}

/* Rows too few to be shared out: the lanes lie one below the other. */
static void lanes_below_each_other_have_the_same_bits(void **state)
{
    (void)state;
    compare_lanes(&pm_op_matmul, (pm_device_limits){.tile = {4, 8}});
    compare_lanes(&pm_op_conv2d, (pm_device_limits){.tile = {4, 8}});
}

/* The lanes side by side, one below the other, and each for itself. Tiles are small, since a driver that does
 * not want it compiles large ones for ten seconds. */
static void sums_leave_in_a_loop_with_the_same_bits(void **state)
{
    (void)state;
    compare_leaving_lanes(&pm_op_matmul, (pm_device_limits){.tile = {16, 1}}, true);
    compare_leaving_lanes(&pm_op_conv2d, (pm_device_limits){.tile = {4, 4}}, true);
}

static void sums_of_lone_lanes_leave_in_a_loop_with_the_same_bits(void **state)
{
    (void)state;
    pm_device_options options = {.limits = {.tile = {4, 1}},
                                 .off = PM_BIT(PM_SHARED_FETCHES) | PM_BIT(PM_SHARED_TILES)};
    pm_error error = {0};
    pm_device *other;
    expect_ok(pm_device_open(&options, &other, &error), &error);
    other->rules.leaves_in_loop = true;
    compare(&pm_op_matmul, other, in_loop_kind);
    compare(&pm_op_conv2d, other, in_loop_kind);
    pm_device_close(other);
}

static void parts_of_lanes_have_the_same_bits(void **state)
{
    (void)state;
    compare_lanes(&pm_op_matmul, (pm_device_limits){.tile = {16, 2}, .storage_range = 64 * KIB});
    compare_lanes(&pm_op_conv2d, (pm_device_limits){.tile = {16, 1}, .storage_range = 64 * KIB});
    compare_lanes(&pm_op_matmul, (pm_device_limits){.tile = {4, 4}, .storage_range = 64 * KIB});
    compare_lanes(&pm_op_conv2d, (pm_device_limits){.tile = {4, 8}, .storage_range = 64 * KIB});
}

/* The gradients of products whose names have `text` on two devices, which are to agree; returns how many
 * there are. `count` is of dispatches of the kind, of each device. */
static uint32_t compare_named(const char *text, pm_device *one, pm_device *other, const char *kind,
                              uint32_t count[2])
{
    uint32_t named = 0;
    for (uint32_t i = 0; i < pm_op_matmul.n_cases; i++) {
        const pm_case *test = &pm_op_matmul.cases[i];
        size_t bytes, other_bytes;
        if (test->bench || !strstr(test->name, text)) continue;
        void *want = gradient_of(one, test, kind, &bytes, &count[0]);
        void *got = gradient_of(other, test, kind, &other_bytes, &count[1]);
        assert_int_equal(bytes, other_bytes);
        assert_memory_equal(want, got, bytes);
        named++;
        free(want);
        free(got);
    }
    return named;
}

/* Of gradients whose terms are as many as rows, at once and some at a time. */
static void long_sums_in_parts_have_the_same_bits(void **state)
{
    (void)state;
    pm_device_options options = {0};
    pm_error error = {0};
    pm_device *whole, *parts;
    uint32_t count[2] = {0};
    expect_ok(pm_device_open(&options, &whole, &error), &error);
    expect_ok(pm_device_open(&options, &parts, &error), &error);
    whole->rules.near_terms = UINT32_MAX / 4;
    parts->rules.near_terms = 256;
    (void)compare_named("AB^T, tall", whole, parts, "matmul", count);
    pm_device_close(whole);
    pm_device_close(parts);
    assert_true(count[1] > count[0]);
}

/* Of products by a rule, and as they are without it; `kind` is what the rule runs before them: of all
 * together once for each, and so many times `more`. */
static void compare_rule(pm_feature rule, const char *text, const char *kind, uint32_t more)
{
    pm_device_options options = {.off = PM_BIT(rule)};
    pm_error error = {0};
    pm_device *plain;
    uint32_t count[2] = {0};
    expect_ok(pm_device_open(&options, &plain, &error), &error);
    uint32_t named = compare_named(text, plain, device, kind, count);
    bool can = pm_device_uses(device, PM_CPU_KERNELS);
    pm_device_close(plain);
    assert_true(named >= 2);
    assert_int_equal(count[0], 0);
    assert_true(!can || count[1] >= named + more);
}

/* B is transposed first, or read as it lies. */
static void turned_products_have_the_same_bits(void **state)
{
    (void)state;
    compare_rule(PM_TURNED_PRODUCTS, "AB^T, tall", "conv2d_flip", 0);
}

/* A is copied into longer rows first, of one gradient, too. */
static void spread_rows_have_the_same_bits(void **state)
{
    (void)state;
    compare_rule(PM_SPREAD_ROWS, "rows 2 KiB apart", "concat", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_have_the_same_bits),
        cmocka_unit_test(convolutions_have_the_same_bits),
        cmocka_unit_test(parts_have_the_same_bits),
        cmocka_unit_test(lanes_have_the_same_bits),
        cmocka_unit_test(lanes_below_each_other_have_the_same_bits),
        cmocka_unit_test(sums_leave_in_a_loop_with_the_same_bits),
        cmocka_unit_test(sums_of_lone_lanes_leave_in_a_loop_with_the_same_bits),
        cmocka_unit_test(parts_of_lanes_have_the_same_bits),
        cmocka_unit_test(long_sums_in_parts_have_the_same_bits),
        cmocka_unit_test(turned_products_have_the_same_bits),
        cmocka_unit_test(spread_rows_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
