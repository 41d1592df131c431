/* Dropout (1207.0580): its mask is a function of counter and stream, so the gradient draws it again instead
 * of keeping it. */
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/random.h"
#include "ops/slab.h"
#include "ops/table.h"

typedef struct dropout_attr {
    uint32_t stream;
    float probability;
} dropout_attr;

static float scale_of(const dropout_attr *attr)
{
    return 1.0f / (1.0f - attr->probability);
}

static void shape_dropout(pm_graph *graph, pm_node *node)
{
    const dropout_attr *attr = PM_ATTR(dropout_attr, node);
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_F32) || !pm_check_counter(graph, node, 1)) return;
    if (!(attr->probability >= 0.0f && attr->probability < 1.0f)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "dropout: the probability must be at least 0 and below 1, not %g",
                      (double)attr->probability);
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[0]));
}

static void lower_dropout(pm_lowering *lowering, const pm_node *node)
{
    const dropout_attr *attr = PM_ATTR(dropout_attr, node);
    pm_shape shape = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t count = pm_shape_count(shape), length = count / shape.dim[0], stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "dropout", lowering->rules->lanes);
    pm_spec(d, pm_is_quads(length));
    pm_push_u32(d, count);
    pm_push_u32(d, attr->stream);
    pm_push_divisor(d, length);
    pm_push_f32(d, attr->probability);
    pm_push_f32(d, scale_of(attr));
    pm_bind_in(d, node->in[1], 1, 0);
    pm_bind_in(d, node->in[0], 4, stride);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 0);
}

static void reference_dropout(const pm_reference *ref)
{
    const dropout_attr *attr = PM_ATTR(dropout_attr, ref->node);
    uint32_t length = ref->in[0].count / ref->in[0].shape.dim[0];
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        float u = pm_uniform01(pm_draw_element(ref->in[1].u, attr->stream, i / length, i % length));
        ref->out[0].f[i] = u < attr->probability ? 0.0 : (double)scale_of(attr) * ref->in[0].f[i];
    }
}

static void backward_dropout(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                             const bool *wants, pm_tensor *grad_in)
{
    const dropout_attr *attr = PM_ATTR(dropout_attr, node);
    if (wants[0]) grad_in[0] = pm_dropout(graph, grad_out[0], attr->probability, node->in[1], attr->stream);
}

pm_tensor pm_dropout(pm_graph *graph, pm_tensor x, float p, pm_tensor counter, uint32_t stream)
{
    dropout_attr attr = {stream, p};
    if (p == 0.0f) return x;
    return pm_emit(graph, &pm_op_dropout, (pm_tensor[]){x, counter}, 2, &attr, sizeof attr, NULL);
}

static pm_tensor case_dropout(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2]), 1.0f);
    return pm_dropout(graph, x, (float)p[3] / 100.0f, pm_case_counter(graph), 5);
}

static const pm_case cases_dropout[] = {
    {.name = "a tenth", .build = case_dropout, .p = {3, 7, 8, 10}},
    {.name = "half, odd samples", .build = case_dropout, .p = {5, 3, 5, 50}},
    {.name = "nearly all", .build = case_dropout, .p = {2, 10, 10, 95}},
    {.name = "several workgroups", .build = case_dropout, .p = {4, 25, 28, 30}},
    {.name = "28x28, 32 channels", .build = case_dropout, .p = {32, 784, 32, 10}, .bench = true},
};

const pm_op pm_op_dropout = {
    .name = "dropout",
    .shape = shape_dropout,
    .backward = backward_dropout,
    .lower = lower_dropout,
    .reference = reference_dropout,
    PM_CASES(cases_dropout),
};
