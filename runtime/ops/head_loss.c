/* The last linear map of a classifier together with its cross entropy. The logits [R,V] of a language model
 * are by far its largest tensor; here they are made a few rows at a time, used, and made again in the
 * backward pass, where d logits takes their place: memory for two times R V floats becomes memory for one
 * chunk. What is kept of a row is its log-sum-exp. It costs one more product: four of 2 R V D operations and
 * not three.
 *
 * Logits, loss, d x and d weight have the same bits as pm_matmul and pm_cross_entropy give. */
#include "base/checked.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/layout.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/table.h"
#include "ops/tile.h"

#include <math.h>
#include <stdlib.h>

#define MOST_LOGITS (1u << 22) /* of a chunk, 16 MiB ... */
#define LEAST_ROWS 256u        /* ... but so many rows, lest reading the weight cost more than multiplying */
#define ROW_STEP 64u           /* so that any tensor of rows can be bound from a chunk's first row on */

typedef struct head_attr {
    pm_layout layout;
    uint32_t vocabulary;
    uint32_t chunk;      /* rows, a multiple of ROW_STEP */
    bool wants_input[3]; /* of the gradient: which of x, weight, bias */
} head_attr;

enum { HEAD_X, HEAD_WEIGHT, HEAD_BIAS, HEAD_LABELS, HEAD_ROW_WEIGHT, HEAD_INPUTS };
/* Of the gradient, after x, weight and bias. */
enum { GRAD_RECORD = HEAD_LABELS, GRAD_LOSS, GRAD_INPUTS };

static uint32_t chunk_rows(uint32_t vocabulary)
{
    uint32_t rows = MOST_LOGITS / vocabulary / ROW_STEP * ROW_STEP;
    return rows > LEAST_ROWS ? rows : LEAST_ROWS;
}

/* ---- Chunks -------------------------------------------------------------------------------------------- */

typedef struct head {
    pm_lowering *lowering;
    const head_attr *attr;
    pm_tensor x, weight, bias; /* of the weight what belongs to the vocabulary */
    uint32_t rows, width;      /* of x */
} head;

static head head_of(pm_lowering *lowering, const pm_node *node)
{
    const head_attr *attr = PM_ATTR(head_attr, node);
    pm_shape x = pm_shape_of(lowering->graph, node->in[HEAD_X]);
    head h = {lowering, attr,    node->in[HEAD_X], node->in[HEAD_WEIGHT], node->in[HEAD_BIAS],
              x.dim[0], x.dim[1]};
    if (attr->layout == PM_ABT)
        h.weight = pm_view(lowering->graph, h.weight, 0, PM_SHAPE(attr->vocabulary, h.width));
    return h;
}

/* Rows first .. first+rows-1 of a tensor that has `width` elements of four bytes for each. */
static pm_tensor rows_of(const head *h, pm_tensor tensor, uint32_t first, uint32_t rows, uint32_t width)
{
    return pm_view(h->lowering->graph, tensor, (uint64_t)first * width * 4, PM_SHAPE(rows, width));
}

static uint32_t rows_at(const head *h, uint32_t first)
{
    return h->rows - first < h->attr->chunk ? h->rows - first : h->attr->chunk;
}

static pm_tensor chunk_scratch(const head *h)
{
    return pm_scratch(h->lowering, PM_DTYPE_F32, rows_at(h, 0) * h->attr->vocabulary);
}

static void lower_logits(const head *h, uint32_t first, pm_tensor logits)
{
    uint32_t rows = rows_at(h, first);
    pm_lower_product(h->lowering, (pm_product){.layout = h->attr->layout,
                                               .m = rows,
                                               .n = h->attr->vocabulary,
                                               .k = h->width,
                                               .batch = 1,
                                               .keeps_f32 = true,
                                               .a = rows_of(h, h->x, first, rows, h->width),
                                               .b = h->weight,
                                               .bias = h->bias,
                                               .c = logits});
}

/* ---- Loss ---------------------------------------------------------------------------------------------- */

static void shape_head_loss(pm_graph *graph, pm_node *node)
{
    uint32_t rows = pm_shape_of(graph, node->in[HEAD_X]).dim[0];
    (void)pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(1));
    (void)pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(rows, PM_RECORD_WIDTH));
}

static void lower_head_loss(pm_lowering *lowering, const pm_node *node)
{
    head h = head_of(lowering, node);
    pm_tensor logits = chunk_scratch(&h), terms = pm_scratch(lowering, PM_DTYPE_F32, h.rows);
    pm_tensor row_weight = node->in[HEAD_ROW_WEIGHT];
    for (uint32_t first = 0; first < h.rows; first += h.attr->chunk) {
        uint32_t rows = rows_at(&h, first);
        lower_logits(&h, first, logits);
        pm_lower_loss_rows(
            lowering,
            (pm_loss_rows){.logits = logits,
                           .labels = rows_of(&h, node->in[HEAD_LABELS], first, rows, 1),
                           .weight = pm_is(row_weight) ? rows_of(&h, row_weight, first, rows, 1) : PM_NONE,
                           .record = rows_of(&h, node->out[1], first, rows, PM_RECORD_WIDTH),
                           .terms = rows_of(&h, terms, first, rows, 1),
                           .rows = rows,
                           .width = h.attr->vocabulary,
                           .all_rows = h.rows});
    }
    pm_lower_sum_partials(lowering, terms, h.rows, 1.0f, node->out[0]);
}

/* The logits of one row, in double. */
static void reference_logits(const pm_reference *ref, uint32_t row, double *logits)
{
    const head_attr *attr = PM_ATTR(head_attr, ref->node);
    const pm_host *weight = &ref->in[HEAD_WEIGHT], *bias = &ref->in[HEAD_BIAS];
    uint32_t width = ref->in[HEAD_X].shape.dim[1];
    const double *x = ref->in[HEAD_X].f + (size_t)row * width;
    for (uint32_t v = 0; v < attr->vocabulary; v++) {
        logits[v] = bias->count ? bias->f[v] : 0.0;
        for (uint32_t k = 0; k < width; k++)
            logits[v] += x[k] * weight->f[attr->layout == PM_ABT ? v * width + k : k * attr->vocabulary + v];
    }
}

static void reference_head_loss(const pm_reference *ref)
{
    uint32_t rows = ref->in[HEAD_X].shape.dim[0], vocabulary = PM_ATTR(head_attr, ref->node)->vocabulary;
    const pm_host *weight = &ref->in[HEAD_ROW_WEIGHT];
    double *logits = malloc(vocabulary * sizeof *logits), loss = 0.0;
    for (uint32_t r = 0; logits && r < rows; r++) {
        double *record = ref->out[1].f + (size_t)r * PM_RECORD_WIDTH;
        reference_logits(ref, r, logits);
        pm_reference_loss_row(logits, vocabulary, ref->in[HEAD_LABELS].u[r],
                              weight->count ? weight->f[r] : 1.0, rows, record);
        loss += record[PM_RECORD_SCALE] * record[PM_RECORD_LOSS];
    }
    ref->out[0].f[0] = logits ? loss : NAN;
    free(logits);
}

/* ---- Gradient ------------------------------------------------------------------------------------------ */

static pm_shape vocabulary_shape(const head_attr *attr, uint32_t width)
{
    return attr->layout == PM_ABT ? PM_SHAPE(attr->vocabulary, width) : PM_SHAPE(width, attr->vocabulary);
}

/* Outputs: those of d x, d weight (of the vocabulary) and d bias that are wanted. */
static void shape_head_loss_backward(pm_graph *graph, pm_node *node)
{
    const head_attr *attr = PM_ATTR(head_attr, node);
    pm_shape x = pm_shape_of(graph, node->in[HEAD_X]);
    pm_shape shapes[] = {x, vocabulary_shape(attr, x.dim[1]), PM_SHAPE(attr->vocabulary)};
    for (uint32_t i = HEAD_X; i <= HEAD_BIAS; i++) {
        if (attr->wants_input[i]) (void)pm_node_output(graph, node, PM_DTYPE_F32, shapes[i]);
    }
}

/* d x = d logits op(weight)^T */
static void lower_dx(const head *h, uint32_t first, pm_tensor dlogits, pm_tensor dx)
{
    uint32_t rows = rows_at(h, first);
    pm_lower_product(h->lowering, (pm_product){.layout = h->attr->layout == PM_AB ? PM_ABT : PM_AB,
                                               .m = rows,
                                               .n = h->width,
                                               .k = h->attr->vocabulary,
                                               .batch = 1,
                                               .keeps_f32 = true,
                                               .a = dlogits,
                                               .b = h->weight,
                                               .c = rows_of(h, dx, first, rows, h->width)});
}

/* d weight = x^T d logits, or the transpose: the terms of one chunk, after those of the chunks before. */
static void lower_dweight(const head *h, uint32_t first, pm_tensor dlogits, pm_tensor dweight)
{
    uint32_t rows = rows_at(h, first);
    pm_tensor x = rows_of(h, h->x, first, rows, h->width);
    bool tied = h->attr->layout == PM_ABT;
    pm_lower_product(h->lowering, (pm_product){.layout = PM_ATB,
                                               .m = tied ? h->attr->vocabulary : h->width,
                                               .n = tied ? h->width : h->attr->vocabulary,
                                               .k = rows,
                                               .batch = 1,
                                               .keeps_f32 = true,
                                               .a = tied ? dlogits : x,
                                               .b = tied ? x : dlogits,
                                               .c = dweight,
                                               .goes_on = first > 0});
}

/* d bias: the columns' sums of each chunk, then their sum. Each begins where it can be bound. */
typedef struct bias_sums {
    pm_tensor sums;
    uint32_t chunks, width;
} bias_sums;

static bias_sums begin_dbias(const head *h)
{
    bias_sums b = {.chunks = pm_ceil_div(h->rows, h->attr->chunk)};
    b.width = pm_ceil_div(h->attr->vocabulary, ROW_STEP) * ROW_STEP;
    if (h->attr->wants_input[HEAD_BIAS] && b.chunks > 1)
        b.sums = pm_scratch(h->lowering, PM_DTYPE_F32, b.chunks * b.width);
    return b;
}

static void lower_dbias(const head *h, const bias_sums *b, uint32_t first, pm_tensor dlogits, pm_tensor out)
{
    uint32_t vocabulary = h->attr->vocabulary, chunk = first / h->attr->chunk;
    if (b->chunks > 1)
        out = pm_view(h->lowering->graph, b->sums, (uint64_t)chunk * b->width * 4, PM_SHAPE(vocabulary));
    pm_lower_sum(h->lowering, dlogits, out, 1, rows_at(h, first), vocabulary);
}

static void end_dbias(const head *h, const bias_sums *b, pm_tensor out)
{
    if (b->chunks == 1) return;
    pm_tensor all = pm_scratch(h->lowering, PM_DTYPE_F32, b->width);
    pm_lower_sum(h->lowering, b->sums, all, 1, b->chunks, b->width);
    pm_lower_gather(h->lowering, all, out, pm_dense_view(PM_SHAPE(h->attr->vocabulary)), 1.0f);
}

static void lower_head_loss_backward(pm_lowering *lowering, const pm_node *node)
{
    head h = head_of(lowering, node);
    const head_attr *attr = h.attr;
    pm_tensor logits = chunk_scratch(&h), out[3] = {PM_NONE};
    for (uint32_t i = HEAD_X, n = 0; i <= HEAD_BIAS; i++) {
        if (attr->wants_input[i]) out[i] = node->out[n++];
    }
    bias_sums bias = begin_dbias(&h);
    bool in_place = pm_on(lowering->rules, PM_LOGITS_IN_PLACE);
    pm_tensor dlogits = in_place ? logits : chunk_scratch(&h);
    for (uint32_t first = 0; first < h.rows; first += attr->chunk) {
        uint32_t rows = rows_at(&h, first);
        lower_logits(&h, first, logits);
        pm_lower_loss_gradient(lowering, logits,
                               rows_of(&h, node->in[GRAD_RECORD], first, rows, PM_RECORD_WIDTH),
                               node->in[GRAD_LOSS], dlogits, rows, attr->vocabulary);
        if (attr->wants_input[HEAD_X]) lower_dx(&h, first, dlogits, out[HEAD_X]);
        if (attr->wants_input[HEAD_WEIGHT]) lower_dweight(&h, first, dlogits, out[HEAD_WEIGHT]);
        if (attr->wants_input[HEAD_BIAS]) lower_dbias(&h, &bias, first, dlogits, out[HEAD_BIAS]);
    }
    if (attr->wants_input[HEAD_BIAS]) end_dbias(&h, &bias, out[HEAD_BIAS]);
}

static void reference_head_loss_backward(const pm_reference *ref)
{
    const head_attr *attr = PM_ATTR(head_attr, ref->node);
    uint32_t rows = ref->in[HEAD_X].shape.dim[0], width = ref->in[HEAD_X].shape.dim[1];
    double *logits = malloc(attr->vocabulary * sizeof *logits), *out[3] = {NULL};
    for (uint32_t i = HEAD_X, n = 0; i <= HEAD_BIAS; i++) {
        if (!attr->wants_input[i]) continue;
        out[i] = ref->out[n].f;
        for (uint32_t k = 0; k < ref->out[n].count; k++) out[i][k] = logits ? 0.0 : NAN;
        n++;
    }
    for (uint32_t r = 0; logits && r < rows; r++) {
        const double *record = ref->in[GRAD_RECORD].f + (size_t)r * PM_RECORD_WIDTH;
        reference_logits(ref, r, logits);
        for (uint32_t v = 0; v < attr->vocabulary; v++) {
            double d = exp(logits[v] - record[PM_RECORD_LSE]) - (v == record[PM_RECORD_LABEL] ? 1.0 : 0.0);
            d *= ref->in[GRAD_LOSS].f[0] * record[PM_RECORD_SCALE];
            if (out[HEAD_BIAS]) out[HEAD_BIAS][v] += d;
            for (uint32_t k = 0; k < width; k++) {
                uint32_t at = attr->layout == PM_ABT ? v * width + k : k * attr->vocabulary + v;
                if (out[HEAD_X]) out[HEAD_X][r * width + k] += d * ref->in[HEAD_WEIGHT].f[at];
                if (out[HEAD_WEIGHT]) out[HEAD_WEIGHT][at] += d * ref->in[HEAD_X].f[r * width + k];
            }
        }
    }
    free(logits);
}

const pm_op pm_op_head_loss_backward = {
    .name = "head_loss_backward",
    .shape = shape_head_loss_backward,
    .lower = lower_head_loss_backward,
    .reference = reference_head_loss_backward,
};

static void backward_head_loss(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                               const bool *wants, pm_tensor *grad_in)
{
    head_attr attr = *PM_ATTR(head_attr, node);
    pm_tensor in[GRAD_INPUTS], out[PM_MAX_OUTPUTS] = {PM_NONE};
    if (!pm_is(grad_out[0])) return;
    bool any = false;
    for (uint32_t i = HEAD_X; i <= HEAD_BIAS; i++) {
        attr.wants_input[i] = pm_is(node->in[i]) && wants[i];
        any |= attr.wants_input[i];
        in[i] = node->in[i];
    }
    in[GRAD_RECORD] = node->out[1];
    in[GRAD_LOSS] = grad_out[0];
    if (any) (void)pm_emit(graph, &pm_op_head_loss_backward, in, GRAD_INPUTS, &attr, sizeof attr, out);
    for (uint32_t i = HEAD_X, n = 0; i <= HEAD_BIAS; i++) {
        if (attr.wants_input[i]) grad_in[i] = out[n++];
    }
    uint32_t weights = pm_shape_of(graph, node->in[HEAD_WEIGHT]).dim[0];
    if (pm_ok(graph) && attr.wants_input[HEAD_WEIGHT] && attr.layout == PM_ABT && weights > attr.vocabulary)
        grad_in[HEAD_WEIGHT] = pm_pad(graph, grad_in[HEAD_WEIGHT], 0, 0, weights);
    if (wants[HEAD_ROW_WEIGHT])
        grad_in[HEAD_ROW_WEIGHT] =
            pm_loss_of_row_weight(graph, node->out[1], node->in[HEAD_ROW_WEIGHT], grad_out[0]);
}

/* ---- Front --------------------------------------------------------------------------------------------- */

static bool has(const pm_graph *graph, pm_tensor tensor, pm_dtype dtype, uint32_t rank)
{
    return pm_is(tensor) && pm_dtype_of(graph, tensor) == dtype && pm_shape_of(graph, tensor).rank == rank;
}

/* Whether an operand that may be missing is f32 [count]. */
static bool fits(const pm_graph *graph, pm_tensor tensor, uint32_t count)
{
    return !pm_is(tensor) ||
           (has(graph, tensor, PM_DTYPE_F32, 1) && pm_shape_of(graph, tensor).dim[0] == count);
}

static pm_tensor head_loss(pm_graph *graph, const pm_tensor in[HEAD_INPUTS], pm_layout layout,
                           uint32_t vocabulary, uint32_t chunk)
{
    char a[64], b[64];
    if (!pm_ok(graph)) return PM_NONE;
    pm_shape x = pm_shape_of(graph, in[HEAD_X]), w = pm_shape_of(graph, in[HEAD_WEIGHT]);
    bool tied = layout == PM_ABT;
    if (!has(graph, in[HEAD_X], PM_DTYPE_F32, 2) || !has(graph, in[HEAD_WEIGHT], PM_DTYPE_F32, 2) ||
        layout == PM_ATB || w.dim[tied ? 1 : 0] != x.dim[1] ||
        (tied ? w.dim[0] < vocabulary : w.dim[1] != vocabulary)) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "head_loss: needs f32 x [R,D] and a weight [D,V], or with PM_ABT [N,D] of N >= V; "
                      "they are %s and %s, and V is %u",
                      pm_shape_text(x, a), pm_shape_text(w, b), vocabulary);
        return PM_NONE;
    }
    pm_shape labels = pm_shape_of(graph, in[HEAD_LABELS]);
    if (!has(graph, in[HEAD_LABELS], PM_DTYPE_U32, 1) || labels.dim[0] != x.dim[0]) {
        pm_graph_fail(graph, PM_BAD_USAGE, "head_loss: labels must be u32 [%u], one for each row of x",
                      x.dim[0]);
        return PM_NONE;
    }
    if (!fits(graph, in[HEAD_BIAS], vocabulary) || !fits(graph, in[HEAD_ROW_WEIGHT], x.dim[0])) {
        pm_graph_fail(graph, PM_BAD_USAGE, "head_loss: a bias must be f32 [%u], and row weights f32 [%u]",
                      vocabulary, x.dim[0]);
        return PM_NONE;
    }
    if (vocabulary == 0 || vocabulary > PM_MOST_CLASSES) {
        pm_graph_fail(graph, PM_BAD_USAGE, "head_loss: the vocabulary must have 1 to 2^20 tokens, not %u",
                      vocabulary);
        return PM_NONE;
    }
    head_attr attr = {.layout = layout, .vocabulary = vocabulary, .chunk = chunk};
    return pm_emit(graph, &pm_op_head_loss, in, HEAD_INPUTS, &attr, sizeof attr, NULL);
}

pm_tensor pm_head_loss(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_layout layout, uint32_t vocabulary,
                       pm_tensor bias, pm_tensor labels, pm_tensor row_weight)
{
    const pm_tensor in[HEAD_INPUTS] = {x, weight, bias, labels, row_weight};
    return head_loss(graph, in, layout, vocabulary, chunk_rows(vocabulary ? vocabulary : 1));
}

/* p: rows, width, vocabulary, rows of a tied weight (0: not tied), bias, row weights, rows of a chunk (0: the
 * usual). Some labels are out of range, and so ignored. */
static pm_tensor case_head_loss(pm_graph *graph, const uint32_t *p)
{
    pm_layout layout = p[3] ? PM_ABT : PM_AB;
    pm_tensor in[HEAD_INPUTS] = {
        pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1]), 1.0f),
        pm_case_leaf(graph, "weight", p[3] ? PM_SHAPE(p[3], p[1]) : PM_SHAPE(p[1], p[2]), 1.0f),
        p[4] ? pm_case_leaf(graph, "bias", PM_SHAPE(p[2]), 1.0f) : PM_NONE,
        pm_case_indices(graph, "labels", PM_SHAPE(p[0]), p[2] + 1),
        p[5] ? pm_case_leaf(graph, "row_weight", PM_SHAPE(p[0]), 1.0f) : PM_NONE,
    };
    return head_loss(graph, in, layout, p[2], p[6] ? p[6] : chunk_rows(p[2]));
}

static const pm_case cases_head_loss[] = {
    {.name = "untied", .build = case_head_loss, .p = {9, 8, 12, 0, 1, 0}},
    {.name = "untied, odd, row weights", .build = case_head_loss, .p = {7, 5, 11, 0, 1, 1}},
    {.name = "tied", .build = case_head_loss, .p = {9, 8, 12, 12, 0, 0}},
    {.name = "tied, odd, more rows", .build = case_head_loss, .p = {7, 5, 9, 13, 1, 1}},
    {.name = "one of each", .build = case_head_loss, .p = {1, 1, 1, 0, 1, 0}},
    {.name = "two chunks, tied, more rows", .build = case_head_loss, .p = {70, 4, 8, 10, 1, 0, 64}},
    {.name = "three chunks, untied, odd", .build = case_head_loss, .p = {131, 3, 7, 0, 1, 1, 64}},
    {.name = "three chunks, tied, no bias", .build = case_head_loss, .p = {192, 4, 5, 5, 0, 0, 64}},
    {.name = "large", .build = case_head_loss, .p = {301, 64, 1031, 0, 0, 0}, .large = true},
    {.name = "16x256 of 257, 256 channels, tied",
     .build = case_head_loss,
     .p = {4096, 256, 257, 258, 0, 1},
     .bench = true},
    {.name = "4x256 of 8192, 256 channels",
     .build = case_head_loss,
     .p = {1024, 256, 8192, 0, 0, 0},
     .bench = true},
};

const pm_op pm_op_head_loss = {
    .name = "head_loss",
    .shape = shape_head_loss,
    .backward = backward_head_loss,
    .lower = lower_head_loss,
    .reference = reference_head_loss,
    PM_CASES(cases_head_loss),
};
