/* A number in [0,1] as one of so many levels: how a continuous time finds its row in a table. */
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/table.h"

typedef struct quantize_attr {
    uint32_t levels;
} quantize_attr;

static void shape_quantize(pm_graph *graph, pm_node *node)
{
    uint32_t levels = PM_ATTR(quantize_attr, node)->levels;
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_F32)) return;
    if (levels < 1 || levels > 1u << 23) {
        pm_graph_fail(graph, PM_BAD_USAGE, "quantize: %u levels; there can be 1 to 2^23", levels);
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, pm_shape_of(graph, node->in[0]));
}

static void lower_quantize(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = pm_count_of(lowering->graph, node->in[0]), lanes = lowering->rules->lanes;
    pm_dispatch *d = pm_dispatch_begin(lowering, "quantize", lanes);
    pm_push_u32(d, count);
    pm_push_u32(d, PM_ATTR(quantize_attr, node)->levels);
    pm_bind_in(d, node->in[0], 1, lanes * 4);
    pm_bind_out(d, node->out[0], lanes * 4);
    pm_groups(d, pm_ceil_div(count, lanes), 1, 1, 0, 0);
}

static void reference_quantize(const pm_reference *ref)
{
    uint32_t levels = PM_ATTR(quantize_attr, ref->node)->levels;
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        float scaled = (float)ref->in[0].f[i] * (float)levels;
        uint32_t level = scaled > 0.0f ? (uint32_t)(scaled < (float)levels ? scaled : (float)levels) : 0;
        ref->out[0].u[i] = level < levels ? level : levels - 1;
    }
}

/* p: elements, levels. The leaves go from -1 to 1, so that the lower half is cut off. */
static pm_tensor case_quantize(pm_graph *graph, const uint32_t *p)
{
    return pm_quantize(graph, pm_case_leaf(graph, "x", PM_SHAPE(p[0]), 1.0f), p[1]);
}

static const pm_case cases_quantize[] = {
    {.name = "few levels", .build = case_quantize, .p = {37, 7}, .no_gradient = true},
    {.name = "one level", .build = case_quantize, .p = {5, 1}, .no_gradient = true},
    {.name = "many levels, several workgroups",
     .build = case_quantize,
     .p = {1201, 1000},
     .no_gradient = true},
    {.name = "a batch of tokens",
     .build = case_quantize,
     .p = {4096, 1000},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_quantize = {
    .name = "quantize",
    .shape = shape_quantize,
    .lower = lower_quantize,
    .reference = reference_quantize,
    PM_CASES(cases_quantize),
};

pm_tensor pm_quantize(pm_graph *graph, pm_tensor x, uint32_t levels)
{
    quantize_attr attr = {levels};
    return pm_emit(graph, &pm_op_quantize, &x, 1, &attr, sizeof attr, NULL);
}
