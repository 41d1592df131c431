/* Which tokens a text already has: what the repetition penalty of pm_draw_tokens looks at. */
#include "base/checked.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/table.h"

static void shape_mark_seen(pm_graph *graph, pm_node *node)
{
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_U32) || !pm_check_operand(graph, node, 1, PM_DTYPE_U32))
        return;
    pm_shape seen = pm_shape_of(graph, node->in[0]), tokens = pm_shape_of(graph, node->in[1]);
    char a[64], b[64];
    if (seen.rank != 2 || tokens.rank != 1 || tokens.dim[0] != seen.dim[0] ||
        pm_info(graph, node->in[0])->kind != PM_KIND_STATE) {
        pm_graph_fail(graph, PM_BAD_USAGE, "mark_seen: takes a state [B,V] and tokens [B], not %s and %s",
                      pm_shape_text(seen, a), pm_shape_text(tokens, b));
    }
}

static void lower_mark_seen(pm_lowering *lowering, const pm_node *node)
{
    pm_shape seen = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t lanes = lowering->rules->lanes;
    pm_dispatch *d = pm_dispatch_begin(lowering, "mark_seen", lanes);
    pm_push_u32(d, seen.dim[0]);
    pm_push_u32(d, seen.dim[1]);
    uint64_t bytes = 4 * (uint64_t)lanes * seen.dim[1];
    pm_bind_in(d, node->in[1], 1, 4 * lanes);
    pm_bind_update(d, node->in[0], bytes <= UINT32_MAX ? (uint32_t)bytes : 0);
    pm_groups(d, pm_ceil_div(seen.dim[0], lanes), 1, 1, 0, 0);
}

static void reference_mark_seen(const pm_reference *ref)
{
    uint32_t width = ref->in[0].shape.dim[1];
    for (uint32_t row = 0; row < ref->in[1].count; row++) {
        uint32_t token = ref->in[1].u[row];
        if (token < width) ref->in[0].u[(size_t)row * width + token] = 1;
    }
}

pm_tensor pm_mark_seen(pm_graph *graph, pm_tensor seen, pm_tensor tokens)
{
    (void)pm_emit(graph, &pm_op_mark_seen, (pm_tensor[]){seen, tokens}, 2, NULL, 0, NULL);
    return pm_ok(graph) ? seen : PM_NONE;
}

/* Twice, with different tokens, some beyond the width. p: batch, width. */
static pm_tensor case_mark_seen(pm_graph *graph, const uint32_t *p)
{
    pm_tensor seen = pm_state(graph, "seen", PM_DTYPE_U32, PM_SHAPE(p[0], p[1]));
    pm_tensor tokens = pm_case_indices(graph, "tokens", PM_SHAPE(p[0]), p[1] + 2);
    (void)pm_mark_seen(graph, seen, tokens);
    return pm_mark_seen(graph, seen, pm_random_index(graph, pm_counter(graph), 8, p[0], p[1]));
}

static const pm_case cases_mark_seen[] = {
    {.name = "a few", .build = case_mark_seen, .p = {5, 7}, .no_gradient = true},
    {.name = "several workgroups", .build = case_mark_seen, .p = {131, 257}, .no_gradient = true},
    {.name = "16 of 50257", .build = case_mark_seen, .p = {16, 50257}, .no_gradient = true, .bench = true},
};

const pm_op pm_op_mark_seen = {
    .name = "mark_seen",
    .updates = 1,
    .shape = shape_mark_seen,
    .lower = lower_mark_seen,
    .reference = reference_mark_seen,
    PM_CASES(cases_mark_seen),
};
