/* A value of a schedule, by the counter's step. */
#include "ops/flat.h"
#include "ops/table.h"

typedef struct at_step_attr {
    uint32_t count;
} at_step_attr;

static void shape_at_step(pm_graph *graph, pm_node *node)
{
    if (pm_dtype_of(graph, node->in[0]) != PM_DTYPE_U32 || pm_shape_of(graph, node->in[0]).rank != 1 ||
        pm_dtype_of(graph, node->in[1]) != PM_DTYPE_U32 || pm_count_of(graph, node->in[1]) != 4) {
        pm_graph_fail(graph, PM_BAD_USAGE, "at_step: takes a table u32 [S] and a counter u32 [4]");
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(PM_ATTR(at_step_attr, node)->count));
}

static void lower_at_step(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = PM_ATTR(at_step_attr, node)->count;
    pm_dispatch *d = pm_dispatch_begin(lowering, "at_step", lowering->rules->lanes);
    pm_push_u32(d, count);
    pm_push_u32(d, pm_count_of(lowering->graph, node->in[0]));
    pm_bind_in(d, node->in[0], 1, 0);
    pm_bind_in(d, node->in[1], 1, 0);
    pm_bind_out(d, node->out[0], lowering->rules->lanes * 4);
    pm_groups(d, pm_ceil_div(count, lowering->rules->lanes), 1, 1, 0, 0);
}

static void reference_at_step(const pm_reference *ref)
{
    uint32_t step = ref->in[1].u[0], last = ref->in[0].count - 1;
    for (uint32_t i = 0; i < ref->out[0].count; i++)
        ref->out[0].u[i] = ref->in[0].u[step < last ? step : last];
}

static pm_tensor case_at_step(pm_graph *graph, const uint32_t *p)
{
    uint32_t counter[4] = {p[2], 0, 0, 0};
    pm_tensor table = pm_case_indices(graph, "table", PM_SHAPE(p[0]), 1000);
    return pm_at_step(graph, table, pm_constant(graph, "counter", PM_DTYPE_U32, PM_SHAPE(4), counter), p[1]);
}

static const pm_case cases_at_step[] = {
    {.name = "inside", .build = case_at_step, .p = {7, 5, 3}, .no_gradient = true},
    {.name = "past the end, several workgroups",
     .build = case_at_step,
     .p = {3, 301, 9},
     .no_gradient = true},
    {.name = "a batch of tokens",
     .build = case_at_step,
     .p = {1000, 4096, 3},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_at_step = {
    .name = "at_step",
    .shape = shape_at_step,
    .lower = lower_at_step,
    .reference = reference_at_step,
    PM_CASES(cases_at_step),
};

pm_tensor pm_at_step(pm_graph *graph, pm_tensor table, pm_tensor counter, uint32_t count)
{
    at_step_attr attr = {count};
    return pm_emit(graph, &pm_op_at_step, (pm_tensor[]){table, counter}, 2, &attr, sizeof attr, NULL);
}
