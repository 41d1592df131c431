/* Softmax over the last axis. */
#include "base/checked.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/op.h"
#include "ops/table.h"

#include <math.h>

static void lower_rows(pm_lowering *lowering, const pm_node *node, const char *plain, const char *ragged)
{
    pm_shape shape = pm_shape_of(lowering->graph, node->out[0]);
    uint32_t width = shape.dim[shape.rank - 1], rows = pm_shape_count(shape) / width;
    uint32_t lanes = lowering->rules->lanes;
    uint64_t bytes = (uint64_t)lanes * width * 4;
    uint32_t stride = bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
    pm_dispatch *d = pm_dispatch_begin(lowering, width % 4 ? ragged : plain, lanes);
    (void)pm_rounds_fit(lowering, "softmax", "rows of this length", (uint64_t)pm_ceil_div(width, 4) * 3);
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    for (uint32_t i = 0; i < node->n_in; i++) pm_bind_in(d, node->in[i], width % 4 ? 1 : 4, stride);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_ceil_div(rows, lanes), 1, 1, 0, 4.0 * rows * width);
}

static void lower_softmax(pm_lowering *lowering, const pm_node *node)
{
    lower_rows(lowering, node, "softmax", "softmax_ragged");
}

static void lower_softmax_backward(pm_lowering *lowering, const pm_node *node)
{
    lower_rows(lowering, node, "softmax_backward", "softmax_backward_ragged");
}

static void reference_softmax(const pm_reference *ref)
{
    const pm_host *x = &ref->in[0], *y = &ref->out[0];
    uint32_t width = x->shape.dim[x->shape.rank - 1];
    for (uint32_t start = 0; start < x->count; start += width) {
        double top = x->f[start], sum = 0.0;
        for (uint32_t i = 0; i < width; i++) top = fmax(top, x->f[start + i]);
        for (uint32_t i = 0; i < width; i++) sum += exp(x->f[start + i] - top);
        for (uint32_t i = 0; i < width; i++) y->f[start + i] = exp(x->f[start + i] - top) / sum;
    }
}

static void reference_softmax_backward(const pm_reference *ref)
{
    const pm_host *y = &ref->in[0], *dy = &ref->in[1], *dx = &ref->out[0];
    uint32_t width = y->shape.dim[y->shape.rank - 1];
    for (uint32_t start = 0; start < y->count; start += width) {
        double inner = 0.0;
        for (uint32_t i = start; i < start + width; i++) inner += y->f[i] * dy->f[i];
        for (uint32_t i = start; i < start + width; i++) dx->f[i] = y->f[i] * (dy->f[i] - inner);
    }
}

const pm_op pm_op_softmax_backward = {
    .name = "softmax_backward",
    .shape = pm_shape_of_equals,
    .lower = lower_softmax_backward,
    .reference = reference_softmax_backward,
};

static void backward_softmax(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                             const bool *wants, pm_tensor *grad_in)
{
    (void)wants;
    pm_tensor in[] = {node->out[0], grad_out[0]};
    grad_in[0] = pm_emit(graph, &pm_op_softmax_backward, in, 2, NULL, 0, NULL);
}

/* p: rows, columns, scale. */
static pm_tensor case_softmax(pm_graph *graph, const uint32_t *p)
{
    return pm_softmax(graph, pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1]), (float)p[2]));
}

static const pm_case cases_softmax[] = {
    {.name = "rows of vec4", .build = case_softmax, .p = {7, 12, 3}},
    {.name = "odd rows", .build = case_softmax, .p = {5, 31, 3}},
    {.name = "one element", .build = case_softmax, .p = {3, 1, 1}},
    {.name = "several workgroups", .build = case_softmax, .p = {130, 8, 2}},
    {.name = "large differences", .build = case_softmax, .p = {4, 20, 60}},
    {.name = "large", .build = case_softmax, .p = {1021, 257, 3}, .large = true},
    {.name = "16x256 of 257", .build = case_softmax, .p = {4096, 257, 3}, .bench = true},
};

const pm_op pm_op_softmax = {
    .name = "softmax",
    .shape = pm_shape_of_equals,
    .backward = backward_softmax,
    .lower = lower_softmax,
    .reference = reference_softmax,
    PM_CASES(cases_softmax),
};

pm_tensor pm_softmax(pm_graph *graph, pm_tensor x)
{
    return pm_emit(graph, &pm_op_softmax, &x, 1, NULL, 0, NULL);
}
