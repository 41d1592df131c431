/* The planner: pieces under a small storage range give the same bits, memory is shared by lifetime, barriers
 * stand only where memory overlaps, the error state of a graph, staging as well as mapped memory. */
/* ctest labels: device */
#include "device_helpers.h"

#include "base/clock.h"
#include "graph/graph.h"
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 1200, WIDTH = 96, GRADIENT = (ROWS + WIDTH) * WIDTH };

/* A chain with a matmul, norms and their gradients, the weights' among them, which is a sum over all rows. */
static pm_graph *chain(pm_tensor *gradient)
{
    pm_graph *g = pm_graph_create();
    pm_tensor x = pm_param(g, "x", PM_SHAPE(ROWS, WIDTH), (pm_init){PM_INIT_NORMAL, 1});
    pm_tensor w = pm_param(g, "w", PM_SHAPE(WIDTH, WIDTH), (pm_init){PM_INIT_UNIFORM, 0.2f});
    pm_tensor h = pm_silu(g, pm_matmul(g, x, w, PM_AB, PM_NONE, PM_NONE));
    h = pm_layer_norm(g, h, (pm_norm_args){.eps = 1e-5f});
    h = pm_mul(g, pm_gelu(g, h), x);
    *gradient = pm_backward(g, pm_sum(g, pm_mul(g, h, h)));
    return g;
}

static float *run_chain(uint64_t storage_range, const pm_device_options *device_options, pm_plan_stats *stats)
{
    pm_error error = {0};
    pm_tensor gradient;
    pm_plan *plan;
    pm_device *own = NULL;
    pm_plan_options options = {.seed = 3};
    pm_graph *g = chain(&gradient);
    size_t bytes = pm_bytes_of(g, gradient);
    float *values = malloc(bytes);
    assert_int_equal(bytes, GRADIENT * sizeof(float));
    if (device_options) assert_int_equal(pm_device_open(device_options, &own, &error), PM_OK);
    if (plan_within(storage_range, own ? own : device, g, &options, &plan, &error) != PM_OK)
        fail_msg("%s", error.message);
    if (pm_plan_run(plan, 3, &error) != PM_OK) fail_msg("%s", error.message);
    assert_int_equal(pm_plan_read(plan, gradient, values, bytes, &error), PM_OK);
    *stats = pm_plan_stats_of(plan);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
    pm_device_close(own);
    return values;
}

static void small_storage_range_gives_the_same_bits(void **state)
{
    pm_plan_stats whole, pieces;
    (void)state;
    float *a = run_chain(0, NULL, &whole), *b = run_chain(32 << 10, NULL, &pieces);
    assert_true(pieces.pieces > 2 * whole.pieces);
    assert_memory_equal(a, b, GRADIENT * sizeof(float));
    free(a);
    free(b);
}

static void staging_and_storage_inputs_give_the_same_bits(void **state)
{
    pm_plan_stats stats;
    pm_device_options options = {.off = PM_BIT(PM_TEXEL_INPUTS) | PM_BIT(PM_MAPPED_MEMORY)};
    (void)state;
    float *a = run_chain(0, NULL, &stats), *b = run_chain(0, &options, &stats);
    assert_memory_equal(a, b, GRADIENT * sizeof(float));
    free(a);
    free(b);
}

static void memory_is_shared_by_lifetime(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1000));
    for (int i = 0; i < 20; i++) x = pm_silu(g, x);
    pm_output(g, x);
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    pm_plan_stats stats = pm_plan_stats_of(plan);
    assert_int_equal(stats.unshared_bytes, 20 * 4096);
    assert_int_equal(stats.activation_bytes, 2 * 4096); /* two in turn, of which the output is the last */
    assert_int_equal(stats.barriers, 19);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

static void independent_nodes_need_no_barrier(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1000));
    for (int i = 0; i < 10; i++) pm_output(g, pm_affine(g, x, (float)i, 1.0f));
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    assert_int_equal(pm_plan_stats_of(plan).barriers, 0);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

static void dead_nodes_are_not_run(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(8));
    pm_output(g, pm_silu(g, x));
    (void)pm_gelu(g, pm_gelu(g, x));
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    assert_int_equal(pm_plan_stats_of(plan).nodes, 1);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

static void first_wrong_shape_is_reported(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_scope_push(g, "block.3");
    pm_tensor a = pm_param(g, "a", PM_SHAPE(4, 6), (pm_init){PM_INIT_ONE, 0});
    pm_tensor b = pm_param(g, "b", PM_SHAPE(5, 7), (pm_init){PM_INIT_ONE, 0});
    pm_tensor c = pm_matmul(g, a, b, PM_AB, PM_NONE, PM_NONE);
    assert_int_equal(c.id, 0);
    assert_int_equal(pm_silu(g, c).id, 0);
    assert_int_equal(pm_graph_status(g, &error), PM_BAD_USAGE);
    assert_non_null(strstr(error.message, "matmul"));
    assert_non_null(strstr(error.message, "4x6"));
    assert_non_null(strstr(error.message, "5x7"));
    assert_non_null(strstr(error.message, "block.3"));
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_BAD_USAGE);
    assert_null(plan);
    pm_graph_destroy(g);
}

static void too_large_a_plan_says_how_much(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    (void)state;
    for (int i = 0; i < 120; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "x%d", i);
        (void)pm_state(g, name, PM_DTYPE_F32, PM_SHAPE(1u << 26)); /* a quarter of a GiB each */
    }
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_NO_MEMORY);
    assert_non_null(strstr(error.message, "MiB needed"));
    assert_non_null(strstr(error.message, "batch"));
    pm_graph_destroy(g);
}

/* A submit that takes a tenth of a second, all of it in the driver. */
static PFN_vkQueueSubmit real_submit;
static VKAPI_ATTR VkResult VKAPI_CALL slow_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *submits,
                                                  VkFence fence)
{
    struct timespec tenth = {0, 100000000};
    (void)nanosleep(&tenth, NULL);
    return real_submit(queue, count, submits, fence);
}

static void time_in_the_driver_is_not_the_hosts(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_output(g, pm_silu(g, pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(8))));
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    assert_int_equal(pm_plan_run(plan, 4, &error), PM_OK);
    assert_int_equal(pm_plan_wait(plan, &error), PM_OK);
    real_submit = device->vk.vkQueueSubmit;
    device->vk.vkQueueSubmit = slow_submit;
    double begun = pm_seconds();
    assert_int_equal(pm_plan_run(plan, 1, &error), PM_OK);
    double elapsed = pm_seconds() - begun, host = pm_plan_stats_of(plan).host_seconds;
    device->vk.vkQueueSubmit = real_submit;
    assert_true(elapsed >= 0.1 && host > 0 && host <= elapsed - 0.1);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

static void wrong_sizes_are_refused(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    float values[8] = {0};
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(8));
    pm_output(g, pm_silu(g, x));
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    assert_int_equal(pm_plan_write(plan, x, values, 28, &error), PM_BAD_USAGE);
    assert_int_equal(pm_plan_read(plan, PM_NONE, values, 0, &error), PM_BAD_USAGE);
    assert_int_equal(pm_plan_write(plan, x, values, 32, &error), PM_OK);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_storage_range_gives_the_same_bits),
        cmocka_unit_test(staging_and_storage_inputs_give_the_same_bits),
        cmocka_unit_test(memory_is_shared_by_lifetime),
        cmocka_unit_test(independent_nodes_need_no_barrier),
        cmocka_unit_test(dead_nodes_are_not_run),
        cmocka_unit_test(first_wrong_shape_is_reported),
        cmocka_unit_test(too_large_a_plan_says_how_much),
        cmocka_unit_test(time_in_the_driver_is_not_the_hosts),
        cmocka_unit_test(wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
