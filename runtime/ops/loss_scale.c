/* Dynamic scaling of the loss (Micikevicius et al., 1710.03740): in precision fast gradients pass through
 * f16, in which what is below 2^-24 is zero. The loss is multiplied by a power of two before it is
 * differentiated, and the gradient by its inverse afterwards, both exactly. When a gradient overflows, its
 * norm is infinite, AdamW skips the step, and the scale is halved; after many good steps it is doubled. */
#include "ops/check.h"
#include "ops/good_norm.h"
#include "ops/table.h"

enum { IN_NORM, IN_SCALE, IN_INVERSE, IN_COUNTS, N_IN };

typedef struct loss_scale_attr {
    uint32_t patience;
    float first, least, most;
} loss_scale_attr;

static void shape_loss_scale(pm_graph *graph, pm_node *node)
{
    (void)pm_check_operand(graph, node, IN_NORM, PM_DTYPE_F32);
}

static void lower_loss_scale(pm_lowering *lowering, const pm_node *node)
{
    const loss_scale_attr *attr = PM_ATTR(loss_scale_attr, node);
    pm_dispatch *d = pm_dispatch_begin(lowering, "loss_scale", 1);
    pm_push_u32(d, attr->patience);
    pm_push_f32(d, attr->first);
    pm_push_f32(d, attr->least);
    pm_push_f32(d, attr->most);
    pm_bind_in(d, node->in[IN_NORM], 1, 0);
    for (uint32_t i = IN_SCALE; i < N_IN; i++) pm_bind_update(d, node->in[i], 0);
    pm_groups(d, 1, 1, 1, 0, 0);
}

static void reference_loss_scale(const pm_reference *ref)
{
    const loss_scale_attr *attr = PM_ATTR(loss_scale_attr, ref->node);
    double *scale = ref->in[IN_SCALE].f, *inverse = ref->in[IN_INVERSE].f;
    uint32_t *counts = ref->in[IN_COUNTS].u;
    if (*scale == 0.0) { /* a new state */
        *scale = (double)attr->first;
        *inverse = 1.0 / *scale;
    }
    bool good = pm_good_norm(ref->in[IN_NORM].f[0]);
    double factor = good ? 1.0 : 0.5;
    counts[0] = good ? counts[0] + 1 : 0;
    counts[1] += !good;
    if (counts[0] >= attr->patience) {
        factor = 2.0;
        counts[0] = 0;
    }
    if (factor * *scale < (double)attr->least || factor * *scale > (double)attr->most) return;
    *scale *= factor;
    *inverse /= factor;
}

pm_loss_scale_state pm_loss_scale(pm_graph *graph)
{
    return (pm_loss_scale_state){
        .scale = pm_state(graph, "loss_scale.scale", PM_DTYPE_F32, PM_SHAPE(1)),
        .inverse = pm_state(graph, "loss_scale.inverse", PM_DTYPE_F32, PM_SHAPE(1)),
        .counts = pm_state(graph, "loss_scale.counts", PM_DTYPE_U32, PM_SHAPE(2)),
    };
}

static void update(pm_graph *graph, pm_loss_scale_state state, pm_tensor norm, const loss_scale_attr *attr)
{
    pm_tensor in[N_IN] = {norm, state.scale, state.inverse, state.counts};
    (void)pm_emit(graph, &pm_op_loss_scale, in, N_IN, attr, sizeof *attr, NULL);
}

void pm_loss_scale_update(pm_graph *graph, pm_loss_scale_state state, pm_tensor grad_norm)
{
    loss_scale_attr attr = {PM_LOSS_SCALE_PATIENCE, PM_LOSS_SCALE_FIRST, 1.0f, 0x1p40f};
    update(graph, state, grad_norm, &attr);
}

/* Good steps, then bad ones. p: how many of each, patience, log2 of the first scale. */
static pm_tensor case_loss_scale(pm_graph *graph, const uint32_t *p)
{
    static const float norms[2] = {1.0f, 2e18f};
    loss_scale_attr attr = {p[2], (float)(1u << p[3]), 1.0f, 0x1p40f};
    pm_loss_scale_state state = pm_loss_scale(graph);
    pm_tensor good = pm_constant(graph, "good", PM_DTYPE_F32, PM_SHAPE(1), &norms[0]);
    pm_tensor bad = pm_constant(graph, "bad", PM_DTYPE_F32, PM_SHAPE(1), &norms[1]);
    for (uint32_t i = 0; i < p[0]; i++) update(graph, state, good, &attr);
    for (uint32_t i = 0; i < p[1]; i++) update(graph, state, bad, &attr);
    return state.scale;
}

static const pm_case cases_loss_scale[] = {
    {.name = "doubled", .build = case_loss_scale, .p = {5, 0, 2, 16}, .no_gradient = true},
    {.name = "doubled, halved", .build = case_loss_scale, .p = {5, 3, 3, 16}, .no_gradient = true},
    {.name = "not below one", .build = case_loss_scale, .p = {1, 4, 9, 1}, .no_gradient = true},
    {.name = "a step", .build = case_loss_scale, .p = {1, 0, 9, 16}, .no_gradient = true, .bench = true},
};

const pm_op pm_op_loss_scale = {
    .name = "loss_scale",
    .updates = 1u << IN_SCALE | 1u << IN_INVERSE | 1u << IN_COUNTS,
    .shape = shape_loss_scale,
    .lower = lower_loss_scale,
    .reference = reference_loss_scale,
    PM_CASES(cases_loss_scale),
};
