/* Whether matrix units multiply, and are worth it: before their first use on a device a product in all three
 * layouts is held against plain C, and on a GPU one is timed. Drivers have been seen to offer them and
 * compute something else, or to do it by ordinary instructions, slower than without. The same for attention,
 * before the first graph that has some: its kernels ask more of them. */
#include "ops/table.h"
#include "plan/plan.h"
#include "plan/verify.h"

#include <stdio.h>
#include <string.h>

static pm_tensor build_product(pm_graph *graph, const uint32_t *p)
{
    return pm_matmul(graph, pm_case_leaf(graph, "a", PM_SHAPE(p[0], p[2]), 1.0f),
                     pm_case_leaf(graph, "b", PM_SHAPE(p[2], p[1]), 1.0f), PM_AB, PM_NONE, PM_NONE);
}

static bool is_right(pm_device *device)
{
    static const pm_case test = {.name = "self-test", .build = build_product, .p = {140, 76, 52}};
    pm_verify_result result;
    return pm_verify_case(device, &pm_op_matmul, &test, PM_FAST, false, &result, NULL) == PM_OK && result.ok;
}

/* A CPU driver's are there for tests. */
static bool is_faster(pm_device *device)
{
    static const pm_tiled_shape shape = {PM_TILED_AB, 1, 1024, 1024, 512};
    double with, without;
    if (device->facts.type == PM_DEVICE_CPU) return true;
    return pm_time_shape(device, &shape, (pm_tile_size){0, 0}, PM_FAST, &with, NULL) == PM_OK &&
           pm_time_shape(device, &shape, (pm_tile_size){0, 0}, PM_F32, &without, NULL) == PM_OK &&
           with < without;
}

/* ---- Attention ---- */

static pm_tensor build_attention(pm_graph *graph, const uint32_t *p)
{
    pm_shape q = PM_SHAPE(p[0], p[1], p[2] * 64), k = PM_SHAPE(p[0], p[1], 64);
    pm_attention_args args = {.heads = p[2], .kv_heads = 1, .mask = PM_MASK_CAUSAL};
    return pm_attention(graph, pm_case_leaf(graph, "q", q, 1.0f), pm_case_leaf(graph, "k", k, 1.0f),
                        pm_case_leaf(graph, "v", k, 1.0f), args);
}

static bool attention_is_right(pm_device *device)
{
    static const pm_case test = {.name = "self-test", .build = build_attention, .p = {1, 71, 2}};
    pm_verify_result result;
    return pm_verify_case(device, &pm_op_attention, &test, PM_FAST, false, &result, NULL) == PM_OK &&
           result.ok;
}

/* With its gradients. */
static bool time_attention(pm_device *device, double *seconds)
{
    static const uint32_t sizes[] = {8, 512, 8};
    pm_graph *graph = pm_graph_create();
    if (!graph) return false;
    pm_tensor y = build_attention(graph, sizes);
    pm_output(graph, pm_backward(graph, pm_sum(graph, pm_mul(graph, y, y))));
    pm_status status = pm_time_graph(device, graph, (pm_tile_size){0, 0}, PM_FAST, seconds, NULL);
    pm_graph_destroy(graph);
    return status == PM_OK;
}

static bool attention_is_faster(pm_device *device)
{
    double with, without;
    if (device->facts.type == PM_DEVICE_CPU) return true;
    bool timed = time_attention(device, &with);
    device->rules.on &= ~PM_BIT(PM_MATRIX_ATTENTION);
    timed = timed && time_attention(device, &without);
    device->rules.on |= PM_BIT(PM_MATRIX_ATTENTION);
    return timed && with < without;
}

/* ---- Both ---- */

static void turn_off(pm_device *device, uint64_t features, const char *what, const char *why)
{
    char line[120];
    (void)snprintf(line, sizeof line, "%s %s and are not used", what, why);
    device->rules.on &= ~features;
    size_t used = strlen(device->choice);
    (void)snprintf(device->choice + used, sizeof device->choice - used, "; %s", line);
    if (device->say) device->say(device->user, line);
}

static bool has_attention(const pm_graph *graph)
{
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (graph->nodes[n].op == &pm_op_attention) return true;
    }
    return false;
}

static void test_products(pm_device *device)
{
    if (device->matrix_tested || !pm_on(&device->rules, PM_MATRIX_UNITS)) return;
    device->matrix_tested = true;
    const char *why = !is_right(device)    ? "failed their self-test"
                      : !is_faster(device) ? "are slower than products without them"
                                           : NULL;
    if (why) turn_off(device, PM_BIT(PM_MATRIX_UNITS) | PM_BIT(PM_MATRIX_ATTENTION), "matrix units", why);
}

void pm_matrix_units_test(pm_device *device, const pm_graph *graph)
{
    if (device->compile_only) return;
    test_products(device);
    if (device->attention_tested || !pm_on(&device->rules, PM_MATRIX_ATTENTION) || !has_attention(graph))
        return;
    device->attention_tested = true;
    const char *why = !attention_is_right(device)    ? "failed their self-test"
                      : !attention_is_faster(device) ? "are slower than those without matrix units"
                                                     : NULL;
    if (why) turn_off(device, PM_BIT(PM_MATRIX_ATTENTION), "attention's kernels for matrix units", why);
}
