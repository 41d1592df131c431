/* Copies whole numbers into a state: how a run leaves something for the next one. */
#include "base/status.h"
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/table.h"

enum { IN_STATE, IN_X, N_IN };

static void shape_assign(pm_graph *graph, pm_node *node)
{
    char a[64], b[64];
    if (!pm_check_operand(graph, node, IN_STATE, PM_DTYPE_U32)) return;
    if (!pm_check_operand(graph, node, IN_X, PM_DTYPE_U32)) return;
    pm_tensor state = node->in[IN_STATE], x = node->in[IN_X];
    if (pm_info(graph, state)->kind != PM_KIND_STATE || pm_count_of(graph, state) != pm_count_of(graph, x)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "assign: x %s does not fit %s, which must be a state",
                      pm_shape_text(pm_shape_of(graph, x), a), pm_shape_text(pm_shape_of(graph, state), b));
    }
}

static void lower_assign(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = pm_count_of(lowering->graph, node->in[IN_X]), lanes = lowering->rules->lanes;
    pm_dispatch *d = pm_dispatch_begin(lowering, "assign", lanes);
    pm_push_u32(d, count);
    pm_bind_in(d, node->in[IN_X], 1, lanes * 4);
    pm_bind_update(d, node->in[IN_STATE], lanes * 4);
    pm_groups(d, pm_ceil_div(count, lanes), 1, 1, 0, 0);
}

static void reference_assign(const pm_reference *ref)
{
    for (uint32_t i = 0; i < ref->in[IN_X].count; i++) ref->in[IN_STATE].u[i] = ref->in[IN_X].u[i];
}

/* p: elements. What the state holds after it is read through an embedding. */
static pm_tensor case_assign(pm_graph *graph, const uint32_t *p)
{
    pm_tensor state = pm_state(graph, "state", PM_DTYPE_U32, PM_SHAPE(p[0]));
    pm_assign(graph, state, pm_case_indices(graph, "x", PM_SHAPE(p[0]), 5));
    return pm_embedding(graph, pm_case_leaf(graph, "table", PM_SHAPE(5, 4), 1.0f), state);
}

static const pm_case cases_assign[] = {
    {.name = "one number", .build = case_assign, .p = {1}},
    {.name = "several workgroups", .build = case_assign, .p = {301}},
    {.name = "a batch of tokens", .build = case_assign, .p = {4096}, .bench = true},
};

const pm_op pm_op_assign = {
    .name = "assign",
    .updates = 1u << IN_STATE,
    .shape = shape_assign,
    .lower = lower_assign,
    .reference = reference_assign,
    PM_CASES(cases_assign),
};

void pm_assign(pm_graph *graph, pm_tensor state, pm_tensor x)
{
    (void)pm_emit(graph, &pm_op_assign, (pm_tensor[]){state, x}, N_IN, NULL, 0, NULL);
}
