/* Kernels that measure a device; see roof.h. */
#include "ops/roof.h"

#include "ops/check.h"
#include "ops/flat.h"
#include "ops/op.h"

/* The chains go to b / (1 - a) = 1 and stay there: they neither overflow nor become denormal. */
#define ROOF_A 0.75f
#define ROOF_B 0.25f

typedef struct roof_attr {
    uint32_t invocations, chains, rounds;
} roof_attr;

static void shape_multiply_add(pm_graph *graph, pm_node *node)
{
    const roof_attr *attr = PM_ATTR(roof_attr, node);
    bool fits = attr->invocations > 0 && attr->invocations <= 1u << 24 &&
                attr->invocations % PM_ROOF_LANES == 0 && attr->chains > 0 &&
                attr->chains <= PM_ROOF_MOST_CHAINS && attr->rounds > 0;
    if (fits) {
        pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(attr->invocations, 4));
    } else {
        pm_graph_fail(graph, PM_BAD_USAGE, "roof: %u invocations of %u chains of %u rounds",
                      attr->invocations, attr->chains, attr->rounds);
    }
}

static void lower_multiply_add(pm_lowering *lowering, const pm_node *node)
{
    const roof_attr *attr = PM_ATTR(roof_attr, node);
    uint32_t lanes = lowering->rules->gemm_lanes, groups = attr->invocations / lanes;
    if (!pm_rounds_fit(lowering, "roof", "the number of rounds", attr->rounds)) return;
    pm_dispatch *d = pm_dispatch_begin(lowering, "roof", lanes);
    pm_spec(d, attr->chains);
    pm_push_u32(d, attr->rounds);
    pm_push_f32(d, ROOF_A);
    pm_push_f32(d, ROOF_B);
    pm_bind_out(d, node->out[0], lanes * 16);
    pm_groups(d, groups, 1, 1, 0, 8.0 * attr->chains * PM_ROOF_STEPS * attr->rounds * attr->invocations);
}

static const pm_op op_multiply_add = {
    .name = "roof",
    .shape = shape_multiply_add,
    .lower = lower_multiply_add,
};

pm_tensor pm_roof_multiply_add(pm_graph *graph, uint32_t invocations, uint32_t chains, uint32_t rounds)
{
    roof_attr attr = {invocations, chains, rounds};
    return pm_emit(graph, &op_multiply_add, (pm_tensor[]){PM_NONE}, 0, &attr, sizeof attr, NULL);
}

float pm_roof_reference(uint32_t lane, uint32_t element, uint32_t chains, uint32_t rounds)
{
    float sum = 0;
    for (uint32_t c = 0; c < chains; c++) {
        float x = 0.25f * (float)element + (float)lane + (float)(4 * c);
        for (uint32_t i = 0; i < rounds * PM_ROOF_STEPS; i++) x = x * ROOF_A + ROOF_B;
        sum = c ? sum + x : x;
    }
    return sum;
}

static void lower_copy(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = pm_count_of(lowering->graph, node->in[0]), stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "roof_copy", lowering->rules->lanes);
    pm_push_u32(d, count);
    pm_bind_in(d, node->in[0], 4, stride);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 0);
}

static const pm_op op_copy = {.name = "roof_copy", .shape = pm_shape_of_equals, .lower = lower_copy};

pm_tensor pm_roof_copy(pm_graph *graph, pm_tensor x)
{
    return pm_emit(graph, &op_copy, &x, 1, NULL, 0, NULL);
}
