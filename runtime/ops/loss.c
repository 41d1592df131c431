/* Losses, each a mean in one number: the squared error and the cross entropy. Their gradients read the
 * gradient of the loss on the device, so that a loss may be scaled or be one of several. */
#include "ops/loss.h"

#include "base/status.h"
#include "ops/chunk_sum.h"
#include "ops/flat.h"
#include "ops/layout.h"
#include "ops/reduce.h"
#include "ops/table.h"

#include <math.h>

static bool is_f32(const pm_graph *graph, pm_tensor tensor)
{
    return pm_is(tensor) && pm_dtype_of(graph, tensor) == PM_DTYPE_F32;
}

void pm_lower_sum_partials(pm_lowering *lowering, pm_tensor partials, uint32_t n, float scale, pm_tensor out)
{
    if (!pm_fits_whole(lowering, partials, 1)) { /* what the leaves of the tree would begin with */
        pm_tensor lanes = pm_scratch(lowering, PM_DTYPE_F32, PM_TREE_LEAVES);
        pm_lower_columns(lowering, partials, lanes, n, PM_TREE_LEAVES);
        partials = lanes;
        n = PM_TREE_LEAVES;
    }
    pm_dispatch *d = pm_dispatch_begin(lowering, "sum_partials", lowering->rules->group_lanes);
    d->shared_bytes = 4 * PM_TREE_LEAVES;
    pm_push_u32(d, n);
    pm_push_f32(d, scale);
    pm_bind_in(d, partials, 1, 0);
    pm_bind_out(d, out, 0);
    pm_groups(d, 1, 1, 1, 0, n);
}

/* ---- Squared error ------------------------------------------------------------------------------------- */

/* The numbers are those of shaders/include/loss_weight.glsl. */
typedef enum weight_kind { WEIGHT_NONE = 0, WEIGHT_ELEMENT = 1, WEIGHT_SAMPLE = 2 } weight_kind;

typedef struct mse_attr {
    weight_kind weight;
} mse_attr;

/* Inputs: prediction, target, weight (or none), and for the gradient that of the loss. */
enum { MSE_PREDICTION, MSE_TARGET, MSE_WEIGHT, MSE_GRAD };

static void shape_mse(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(1));
}

static void shape_mse_backward(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[MSE_PREDICTION]));
}

typedef struct mse_weights {
    weight_kind kind;
    pm_tensor tensor;
} mse_weights;

/* Weights of samples that cannot be bound whole become weights of elements. */
static mse_weights weights_of(pm_lowering *lowering, const pm_node *node)
{
    const pm_graph *graph = lowering->graph;
    mse_weights weights = {PM_ATTR(mse_attr, node)->weight, node->in[MSE_WEIGHT]};
    if (weights.kind != WEIGHT_SAMPLE || pm_fits_whole(lowering, weights.tensor, 1)) return weights;
    uint32_t count = pm_count_of(graph, node->in[MSE_PREDICTION]);
    uint32_t samples = pm_count_of(graph, weights.tensor);
    pm_strided view = {.rank = 2, .extent = {samples, count / samples}, .stride = {1, 0}};
    pm_tensor repeated = pm_scratch(lowering, PM_DTYPE_F32, count);
    pm_lower_gather(lowering, weights.tensor, repeated, view, 1.0f);
    return (mse_weights){WEIGHT_ELEMENT, repeated};
}

/* What both dispatches begin with: constants, operands. `stride`: bytes of an operand that a workgroup
 * covers. */
static void bind_mse(pm_lowering *lowering, const pm_node *node, mse_weights weights, pm_dispatch *d,
                     uint32_t stride)
{
    weight_kind kind = weights.kind;
    pm_tensor prediction = node->in[MSE_PREDICTION], weight = weights.tensor;
    uint32_t count = pm_count_of(lowering->graph, prediction);
    pm_spec(d, kind);
    pm_push_u32(d, count);
    pm_push_u32(d, count / pm_shape_of(lowering->graph, prediction).dim[0]);
    pm_bind_in(d, prediction, 4, stride);
    pm_bind_in(d, node->in[MSE_TARGET], 4, stride);
    pm_bind_in(d, kind == WEIGHT_ELEMENT ? weight : prediction, 4, stride); /* not read otherwise */
    if (kind == WEIGHT_SAMPLE) {
        pm_bind_in(d, weight, 1, 0);
    } else {
        pm_bind_in(d, prediction, 1, stride);
    }
}

static void lower_mse(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = pm_count_of(lowering->graph, node->in[MSE_PREDICTION]);
    uint32_t partials = pm_chunk_partials(count);
    pm_tensor partial = pm_scratch(lowering, PM_DTYPE_F32, partials);
    mse_weights weights = weights_of(lowering, node);
    pm_dispatch *d = pm_dispatch_begin(lowering, "mse", PM_CHUNK_LANES);
    bind_mse(lowering, node, weights, d, PM_CHUNK_ELEMENTS * 4);
    pm_bind_out(d, partial, PM_CHUNK_LANES * 4);
    pm_groups(d, pm_chunks(count), 1, 1, 0, 3.0 * count);
    pm_lower_sum_partials(lowering, partial, partials, (float)(1.0 / count), node->out[0]);
}

static void lower_mse_backward(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = pm_count_of(lowering->graph, node->in[MSE_PREDICTION]);
    uint32_t stride = pm_flat_stride(lowering);
    mse_weights weights = weights_of(lowering, node);
    pm_dispatch *d = pm_dispatch_begin(lowering, "mse_backward", lowering->rules->lanes);
    bind_mse(lowering, node, weights, d, stride);
    pm_push_f32(d, (float)(2.0 / count));
    pm_bind_in(d, node->in[MSE_GRAD], 1, 0);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 3.0 * count);
}

/* The weight of element i. */
static double mse_weight(const pm_reference *ref, uint32_t i)
{
    const pm_host *weight = &ref->in[MSE_WEIGHT];
    switch (PM_ATTR(mse_attr, ref->node)->weight) {
    case WEIGHT_ELEMENT:
        return weight->f[i];
    case WEIGHT_SAMPLE:
        return weight->f[i / (ref->in[0].count / weight->count)];
    case WEIGHT_NONE:
        break;
    }
    return 1.0;
}

static void reference_mse(const pm_reference *ref)
{
    double sum = 0.0;
    uint32_t count = ref->in[MSE_PREDICTION].count;
    for (uint32_t i = 0; i < count; i++) {
        double d = ref->in[MSE_PREDICTION].f[i] - ref->in[MSE_TARGET].f[i];
        sum += mse_weight(ref, i) * d * d;
    }
    ref->out[0].f[0] = sum / count;
}

static void reference_mse_backward(const pm_reference *ref)
{
    uint32_t count = ref->in[MSE_PREDICTION].count;
    for (uint32_t i = 0; i < count; i++) {
        double d = ref->in[MSE_PREDICTION].f[i] - ref->in[MSE_TARGET].f[i];
        ref->out[0].f[i] = ref->in[MSE_GRAD].f[0] * 2.0 / count * mse_weight(ref, i) * d;
    }
}

const pm_op pm_op_mse_backward = {
    .name = "mse_backward",
    .shape = shape_mse_backward,
    .lower = lower_mse_backward,
    .reference = reference_mse_backward,
};

/* d loss / d weight = (prediction - target)^2 / count, summed over what a weight serves. It is rare (learned
 * weights), so it is put together from other operators. */
static pm_tensor grad_of_weight(pm_graph *graph, const pm_node *node, pm_tensor grad)
{
    pm_tensor prediction = node->in[MSE_PREDICTION], weight = node->in[MSE_WEIGHT];
    pm_tensor d = pm_add(graph, prediction, pm_affine(graph, node->in[MSE_TARGET], -1.0f, 0.0f));
    pm_tensor square = pm_mul(graph, d, d);
    if (PM_ATTR(mse_attr, node)->weight == WEIGHT_SAMPLE) {
        uint32_t samples = pm_count_of(graph, weight), count = pm_count_of(graph, prediction);
        square = pm_reshape(graph, square, PM_SHAPE(samples, count / samples));
        square = pm_reshape(graph, pm_sum_to(graph, square, PM_SHAPE(samples, 1)), PM_SHAPE(samples));
    }
    square = pm_affine(graph, square, (float)(1.0 / pm_count_of(graph, prediction)), 0.0f);
    return pm_mul(graph, square, grad);
}

static void backward_mse(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                         pm_tensor *grad_in)
{
    pm_tensor in[] = {node->in[MSE_PREDICTION], node->in[MSE_TARGET], node->in[MSE_WEIGHT], grad_out[0]};
    if (wants[MSE_PREDICTION] || wants[MSE_TARGET]) {
        grad_in[MSE_PREDICTION] =
            pm_emit(graph, &pm_op_mse_backward, in, 4, node->attr, sizeof(mse_attr), NULL);
    }
    if (wants[MSE_TARGET]) grad_in[MSE_TARGET] = pm_affine(graph, grad_in[MSE_PREDICTION], -1.0f, 0.0f);
    if (wants[MSE_WEIGHT]) grad_in[MSE_WEIGHT] = grad_of_weight(graph, node, grad_out[0]);
}

/* p: kind of weight, then the shape. */
static pm_tensor case_mse(pm_graph *graph, const uint32_t *p)
{
    pm_shape shape = PM_SHAPE(p[1], p[2], p[3]);
    pm_tensor weight = PM_NONE;
    if (p[0] == WEIGHT_ELEMENT) weight = pm_case_leaf(graph, "weight", shape, 1.0f);
    if (p[0] == WEIGHT_SAMPLE) weight = pm_case_leaf(graph, "weight", PM_SHAPE(p[1]), 1.0f);
    return pm_mse(graph, pm_case_leaf(graph, "prediction", shape, 1.0f),
                  pm_case_leaf(graph, "target", shape, 1.0f), weight);
}

/* Several workgroups: the prediction is small, and repeated. */
static pm_tensor case_mse_large(pm_graph *graph, const uint32_t *p)
{
    pm_shape shape = PM_SHAPE(p[0], p[1]);
    pm_tensor row = pm_case_leaf(graph, "row", PM_SHAPE(1, p[1]), 1.0f);
    pm_tensor column = pm_case_leaf(graph, "column", PM_SHAPE(p[0], 1), 1.0f);
    return pm_mse(graph, pm_broadcast(graph, row, shape), pm_broadcast(graph, column, shape),
                  pm_case_leaf(graph, "weight", PM_SHAPE(p[0]), 1.0f));
}

static const pm_case cases_mse[] = {
    {.name = "no weight", .build = case_mse, .p = {WEIGHT_NONE, 3, 5, 7}},
    {.name = "one element", .build = case_mse, .p = {WEIGHT_NONE, 1, 1, 1}},
    {.name = "weight of elements", .build = case_mse, .p = {WEIGHT_ELEMENT, 2, 3, 5}},
    {.name = "weight of samples", .build = case_mse, .p = {WEIGHT_SAMPLE, 3, 4, 5}},
    {.name = "weight of ragged samples", .build = case_mse, .p = {WEIGHT_SAMPLE, 7, 3, 3}},
    {.name = "several workgroups", .build = case_mse_large, .p = {41, 411}},
    {.name = "32 of 28x28", .build = case_mse, .p = {WEIGHT_NONE, 32, 28, 28}, .bench = true},
};

const pm_op pm_op_mse = {
    .name = "mse",
    .shape = shape_mse,
    .backward = backward_mse,
    .lower = lower_mse,
    .reference = reference_mse,
    PM_CASES(cases_mse),
};

pm_tensor pm_mse(pm_graph *graph, pm_tensor prediction, pm_tensor target, pm_tensor weight)
{
    char a[64], b[64];
    if (!pm_ok(graph)) return PM_NONE;
    if (!is_f32(graph, prediction) || !is_f32(graph, target) || (pm_is(weight) && !is_f32(graph, weight))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "mse: prediction, target and weight must be f32 tensors");
        return PM_NONE;
    }
    pm_shape shape = pm_shape_of(graph, prediction);
    if (!pm_shape_equal(shape, pm_shape_of(graph, target))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "mse: prediction %s and target %s differ", pm_shape_text(shape, a),
                      pm_shape_text(pm_shape_of(graph, target), b));
        return PM_NONE;
    }
    mse_attr attr = {WEIGHT_NONE};
    if (pm_is(weight)) {
        pm_shape own = pm_shape_of(graph, weight);
        bool of_sample = own.rank == 1 && own.dim[0] == shape.dim[0];
        attr.weight = of_sample ? WEIGHT_SAMPLE : WEIGHT_ELEMENT;
        if (!of_sample && !pm_shape_equal(own, shape)) {
            pm_graph_fail(graph, PM_BAD_USAGE,
                          "mse: weight %s is neither of the prediction's shape %s nor [%u]",
                          pm_shape_text(own, a), pm_shape_text(shape, b), shape.dim[0]);
            return PM_NONE;
        }
    }
    return pm_emit(graph, &pm_op_mse, (pm_tensor[]){prediction, target, weight}, 3, &attr, sizeof attr, NULL);
}

/* ---- Cross entropy ------------------------------------------------------------------------------------- */

#define RUN_ELEMENTS 256u /* as RUN_QUADS in shaders/cross_entropy.comp */

/* Inputs: logits, labels, weight (or none). Outputs: the loss, and a record for each row that the gradient
 * reads. */
enum { CE_LOGITS, CE_LABELS, CE_WEIGHT };

static void shape_cross_entropy(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(1));
    (void)pm_node_output(graph, node, PM_DTYPE_F32,
                         PM_SHAPE(pm_count_of(graph, node->in[CE_LABELS]), PM_RECORD_WIDTH));
}

/* Greatest logit and sum of exponentials of each run of each row. A workgroup gets as many rows as keep its
 * lanes busy. */
static void lower_runs(pm_lowering *lowering, const pm_loss_rows *l, uint32_t runs, pm_tensor greatest,
                       pm_tensor sums)
{
    uint32_t rows = l->rows, width = l->width, lanes = lowering->rules->lanes;
    uint32_t rows_per_group = runs < lanes ? lanes / runs : 1;
    uint32_t stride = rows_per_group * width * 4;
    pm_dispatch *d = pm_dispatch_begin(lowering, "cross_entropy", lanes);
    pm_spec(d, width % 4 != 0);
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    pm_push_u32(d, runs);
    pm_push_u32(d, rows_per_group);
    pm_bind_in(d, l->logits, 4, stride);
    pm_bind_in(d, l->logits, 1, stride);
    pm_bind_out(d, greatest, rows_per_group * runs * 4);
    pm_bind_out(d, sums, rows_per_group * runs * 4);
    pm_groups(d, pm_ceil_div(rows, rows_per_group), 1, 1, 0, 20.0 * rows * width);
}

void pm_lower_loss_rows(pm_lowering *lowering, pm_loss_rows l)
{
    uint32_t rows = l.rows, width = l.width, lanes = lowering->rules->lanes;
    uint32_t runs = pm_ceil_div(width, RUN_ELEMENTS);
    pm_tensor greatest = pm_scratch(lowering, PM_DTYPE_F32, rows * runs);
    pm_tensor sums = pm_scratch(lowering, PM_DTYPE_F32, rows * runs);
    lower_runs(lowering, &l, runs, greatest, sums);

    pm_dispatch *d = pm_dispatch_begin(lowering, "cross_entropy_rows", lanes);
    pm_spec(d, pm_is(l.weight));
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    pm_push_u32(d, runs);
    pm_push_f32(d, (float)(1.0 / l.all_rows));
    pm_bind_in(d, l.logits, 1, lanes * width * 4);
    pm_bind_in(d, greatest, 1, lanes * runs * 4);
    pm_bind_in(d, sums, 1, lanes * runs * 4);
    pm_bind_in(d, l.labels, 1, lanes * 4);
    pm_bind_in(d, pm_is(l.weight) ? l.weight : sums, 1, lanes * 4); /* not read without a weight */
    pm_bind_out(d, l.record, lanes * PM_RECORD_WIDTH * 4);
    pm_bind_out(d, l.terms, lanes * 4);
    pm_groups(d, pm_ceil_div(rows, lanes), 1, 1, 0, 20.0 * rows * runs);
}

static void lower_cross_entropy(pm_lowering *lowering, const pm_node *node)
{
    pm_shape shape = pm_shape_of(lowering->graph, node->in[CE_LOGITS]);
    uint32_t rows = shape.dim[0];
    pm_tensor terms = pm_scratch(lowering, PM_DTYPE_F32, rows);
    pm_lower_loss_rows(lowering, (pm_loss_rows){.logits = node->in[CE_LOGITS],
                                                .labels = node->in[CE_LABELS],
                                                .weight = node->in[CE_WEIGHT],
                                                .record = node->out[1],
                                                .terms = terms,
                                                .rows = rows,
                                                .width = shape.dim[1],
                                                .all_rows = rows});
    pm_lower_sum_partials(lowering, terms, rows, 1.0f, node->out[0]);
}

void pm_reference_loss_row(const double *logits, uint32_t width, uint32_t label, double weight, uint32_t rows,
                           double *record)
{
    double most = logits[0], sum = 0.0;
    for (uint32_t v = 1; v < width; v++) most = fmax(most, logits[v]);
    for (uint32_t v = 0; v < width; v++) sum += exp(logits[v] - most);
    record[PM_RECORD_LSE] = most + log(sum);
    record[PM_RECORD_LABEL] = label < width ? label : -1.0;
    record[PM_RECORD_SCALE] = label < width ? weight / rows : 0.0;
    record[PM_RECORD_LOSS] = label < width ? record[PM_RECORD_LSE] - logits[label] : 0.0;
}

static void reference_cross_entropy(const pm_reference *ref)
{
    const pm_host *logits = &ref->in[CE_LOGITS], *weight = &ref->in[CE_WEIGHT];
    uint32_t rows = logits->shape.dim[0], width = logits->shape.dim[1];
    double loss = 0.0;
    for (uint32_t r = 0; r < rows; r++) {
        double *record = ref->out[1].f + (size_t)r * PM_RECORD_WIDTH;
        pm_reference_loss_row(logits->f + (size_t)r * width, width, ref->in[CE_LABELS].u[r],
                              weight->count ? weight->f[r] : 1.0, rows, record);
        loss += record[PM_RECORD_SCALE] * record[PM_RECORD_LOSS];
    }
    ref->out[0].f[0] = loss;
}

/* Inputs of the gradient: logits, record, gradient of the loss. */
static void shape_cross_entropy_backward(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[0]));
}

void pm_lower_loss_gradient(pm_lowering *lowering, pm_tensor logits, pm_tensor record, pm_tensor grad,
                            pm_tensor out, uint32_t rows, uint32_t width)
{
    bool in_place = logits.id == out.id;
    uint32_t count = rows * width, stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(
        lowering, in_place ? "cross_entropy_in_place" : "cross_entropy_backward", lowering->rules->lanes);
    pm_push_u32(d, count);
    pm_push_u32(d, width);
    pm_bind_in(d, record, 4, 0);
    pm_bind_in(d, grad, 1, 0);
    if (in_place) {
        pm_bind_update(d, out, stride);
    } else {
        pm_bind_out(d, out, stride);
        pm_bind_in(d, logits, 4, stride);
    }
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 20.0 * count);
}

static void lower_logit_gradients(pm_lowering *lowering, const pm_node *node)
{
    pm_shape shape = pm_shape_of(lowering->graph, node->in[0]);
    pm_lower_loss_gradient(lowering, node->in[0], node->in[1], node->in[2], node->out[0], shape.dim[0],
                           shape.dim[1]);
}

static void lower_cross_entropy_backward(pm_lowering *lowering, const pm_node *node)
{
    enum { LOGITS = 1 << 0, RECORD = 1 << 1 };
    pm_lower_by_rows(lowering, node, LOGITS | RECORD | PM_OUT_BIT(0), RECORD, 0, lower_logit_gradients);
}

static void reference_cross_entropy_backward(const pm_reference *ref)
{
    uint32_t width = ref->in[0].shape.dim[1];
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        const double *record = ref->in[1].f + (size_t)(i / width) * PM_RECORD_WIDTH;
        double hit = (double)(i % width) == record[PM_RECORD_LABEL] ? 1.0 : 0.0;
        double probability = exp(ref->in[0].f[i] - record[PM_RECORD_LSE]);
        ref->out[0].f[i] = ref->in[2].f[0] * record[PM_RECORD_SCALE] * (probability - hit);
    }
}

const pm_op pm_op_cross_entropy_backward = {
    .name = "cross_entropy_backward",
    .shape = shape_cross_entropy_backward,
    .lower = lower_cross_entropy_backward,
    .reference = reference_cross_entropy_backward,
};

pm_tensor pm_loss_of_row_weight(pm_graph *graph, pm_tensor record, pm_tensor weight, pm_tensor grad)
{
    uint32_t rows = pm_count_of(graph, weight);
    pm_tensor losses = pm_slice(graph, record, 1, PM_RECORD_LOSS, PM_RECORD_LOSS + 1);
    losses = pm_affine(graph, pm_reshape(graph, losses, PM_SHAPE(rows)), (float)(1.0 / rows), 0.0f);
    return pm_mul(graph, losses, grad);
}

static void backward_cross_entropy(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                                   const bool *wants, pm_tensor *grad_in)
{
    if (!pm_is(grad_out[0])) return;
    if (wants[CE_LOGITS]) {
        pm_tensor in[] = {node->in[CE_LOGITS], node->out[1], grad_out[0]};
        grad_in[CE_LOGITS] = pm_emit(graph, &pm_op_cross_entropy_backward, in, 3, NULL, 0, NULL);
    }
    if (wants[CE_WEIGHT])
        grad_in[CE_WEIGHT] = pm_loss_of_row_weight(graph, node->out[1], node->in[CE_WEIGHT], grad_out[0]);
}

/* p: weighted, rows, width. Some labels are out of range, and so ignored. */
static pm_tensor case_cross_entropy(pm_graph *graph, const uint32_t *p)
{
    pm_tensor weight = p[0] ? pm_case_leaf(graph, "weight", PM_SHAPE(p[1]), 1.0f) : PM_NONE;
    return pm_cross_entropy(graph, pm_case_leaf(graph, "logits", PM_SHAPE(p[1], p[2]), 4.0f),
                            pm_case_indices(graph, "labels", PM_SHAPE(p[1]), p[2] + 1), weight);
}

static const pm_case cases_cross_entropy[] = {
    {.name = "aligned rows", .build = case_cross_entropy, .p = {0, 7, 8}},
    {.name = "ragged rows, weights", .build = case_cross_entropy, .p = {1, 9, 7}},
    {.name = "three classes", .build = case_cross_entropy, .p = {1, 11, 3}},
    {.name = "one class", .build = case_cross_entropy, .p = {0, 5, 1}},
    {.name = "several runs a row", .build = case_cross_entropy, .p = {0, 2, 521}},
    {.name = "several workgroups", .build = case_cross_entropy, .p = {1, 601, 5}},
    {.name = "large", .build = case_cross_entropy, .p = {0, 1021, 257}, .large = true},
    {.name = "16x256 of 257", .build = case_cross_entropy, .p = {0, 4096, 257}, .bench = true},
};

const pm_op pm_op_cross_entropy = {
    .name = "cross_entropy",
    .shape = shape_cross_entropy,
    .backward = backward_cross_entropy,
    .lower = lower_cross_entropy,
    .reference = reference_cross_entropy,
    PM_CASES(cases_cross_entropy),
};

pm_tensor pm_cross_entropy(pm_graph *graph, pm_tensor logits, pm_tensor labels, pm_tensor weight)
{
    char a[64], b[64];
    if (!pm_ok(graph)) return PM_NONE;
    pm_shape shape = pm_shape_of(graph, logits), of_labels = pm_shape_of(graph, labels);
    if (!is_f32(graph, logits) || shape.rank != 2 || !pm_is(labels) ||
        pm_dtype_of(graph, labels) != PM_DTYPE_U32 || of_labels.rank != 1 ||
        of_labels.dim[0] != shape.dim[0]) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "cross_entropy: needs f32 logits [R,V] and u32 labels [R], not %s and %s",
                      pm_shape_text(shape, a), pm_shape_text(of_labels, b));
        return PM_NONE;
    }
    if (pm_is(weight) && (!is_f32(graph, weight) || !pm_shape_equal(pm_shape_of(graph, weight), of_labels))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "cross_entropy: weight must be f32 [%u], one for each row",
                      shape.dim[0]);
        return PM_NONE;
    }
    if (shape.dim[1] > PM_MOST_CLASSES) {
        pm_graph_fail(graph, PM_BAD_USAGE, "cross_entropy: more than 2^20 classes");
        return PM_NONE;
    }
    return pm_emit(graph, &pm_op_cross_entropy, (pm_tensor[]){logits, labels, weight}, 3, NULL, 0, NULL);
}
