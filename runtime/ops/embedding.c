/* Rows of a table by index, and the table's gradient. */
#include "base/status.h"
#include "ops/check.h"
#include "ops/slab.h"
#include "ops/table.h"

#include <string.h>

/* ---- Forward ------------------------------------------------------------------------------------------- */

static void shape_embedding(pm_graph *graph, pm_node *node)
{
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_F32) || !pm_check_operand(graph, node, 1, PM_DTYPE_U32))
        return;
    pm_shape table = pm_shape_of(graph, node->in[0]), index = pm_shape_of(graph, node->in[1]);
    char table_text[64], index_text[64];
    if (table.rank != 2 || index.rank >= PM_MAX_RANK) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "embedding: the table must be [V,D], not %s, and the index %s of rank 3 at most",
                      pm_shape_text(table, table_text), pm_shape_text(index, index_text));
        return;
    }
    index.dim[index.rank++] = table.dim[1];
    pm_node_output(graph, node, PM_DTYPE_F32, index);
}

static void lower_embedding(pm_lowering *lowering, const pm_node *node)
{
    pm_shape table = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t rows = pm_count_of(lowering->graph, node->in[1]), width = table.dim[1];
    bool quads = pm_is_quads(width);
    uint32_t unit = quads ? 4 : 1;
    pm_slab slab = pm_slab_of(lowering, rows, width / unit, pm_slab_turns(lowering));

    pm_dispatch *d =
        pm_dispatch_begin(lowering, quads ? "embedding" : "embedding_ragged", lowering->rules->lanes);
    pm_push_slab(d, &slab, rows * (width / unit));
    pm_push_u32(d, table.dim[0]);
    pm_push_divisor(d, width / unit);
    pm_bind_in(d, node->in[0], unit, 0);
    pm_bind_in(d, node->in[1], 1, pm_slab_stride(&slab, 1));
    pm_bind_out(d, node->out[0], pm_slab_stride(&slab, width));
    pm_slab_groups(d, &slab);
}

static void reference_embedding(const pm_reference *ref)
{
    uint32_t rows = ref->in[0].shape.dim[0], width = ref->in[0].shape.dim[1];
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t row = ref->in[1].u[i / width];
        ref->out[0].f[i] = row < rows ? ref->in[0].f[row * width + i % width] : 0.0;
    }
}

typedef struct rows_attr {
    uint32_t rows; /* of the table */
} rows_attr;

static void backward_embedding(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                               const bool *wants, pm_tensor *grad_in)
{
    rows_attr attr = {pm_shape_of(graph, node->in[0]).dim[0]};
    pm_tensor in[] = {grad_out[0], node->in[1]};
    if (wants[0]) grad_in[0] = pm_emit(graph, &pm_op_embedding_backward, in, 2, &attr, sizeof attr, NULL);
}

pm_tensor pm_embedding(pm_graph *graph, pm_tensor table, pm_tensor index)
{
    return pm_emit(graph, &pm_op_embedding, (pm_tensor[]){table, index}, 2, NULL, 0, NULL);
}

/* p: rows and width of the table, shape of the index, and below what indices are drawn. */
static pm_tensor case_embedding(pm_graph *graph, const uint32_t *p)
{
    pm_tensor table = pm_case_leaf(graph, "table", PM_SHAPE(p[0], p[1]), 1.0f);
    return pm_embedding(graph, table, pm_case_indices(graph, "index", PM_SHAPE(p[2], p[3]), p[4]));
}

static const pm_case cases_embedding[] = {
    {.name = "labels", .build = case_embedding, .p = {11, 16, 1, 64, 11}},
    {.name = "odd width", .build = case_embedding, .p = {7, 5, 3, 9, 7}},
    {.name = "indices beyond the table", .build = case_embedding, .p = {6, 8, 2, 11, 9}},
    {.name = "most rows unused", .build = case_embedding, .p = {300, 4, 5, 3, 300}},
    {.name = "one row, several workgroups", .build = case_embedding, .p = {1, 20, 30, 30, 1}},
    {.name = "16x256 of 257, 256 channels",
     .build = case_embedding,
     .p = {257, 256, 16, 256, 257},
     .bench = true},
};

const pm_op pm_op_embedding = {
    .name = "embedding",
    .shape = shape_embedding,
    .backward = backward_embedding,
    .lower = lower_embedding,
    .reference = reference_embedding,
    PM_CASES(cases_embedding),
};

/* ---- Gradient ------------------------------------------------------------------------------------------ */

static void shape_embedding_backward(pm_graph *graph, pm_node *node)
{
    pm_shape dy = pm_shape_of(graph, node->in[0]);
    uint32_t rows = PM_ATTR(rows_attr, node)->rows;
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(rows, dy.dim[dy.rank - 1]));
}

/* The indices are sorted first, equal ones in their order; then each row of the table adds up its own run. */
static void lower_embedding_backward(pm_lowering *lowering, const pm_node *node)
{
    const pm_graph *graph = lowering->graph;
    uint32_t lanes = lowering->rules->lanes, rows = PM_ATTR(rows_attr, node)->rows;
    uint32_t count = pm_count_of(graph, node->in[1]), width = pm_count_of(graph, node->in[0]) / count;
    pm_tensor order = pm_scratch(lowering, PM_DTYPE_U32, count);
    pm_tensor sorted = pm_scratch(lowering, PM_DTYPE_U32, count);
    pm_tensor start = pm_scratch(lowering, PM_DTYPE_U32, rows + 1);

    pm_dispatch *d = pm_dispatch_begin(lowering, "embedding_sort", lanes);
    pm_push_u32(d, count);
    pm_bind_in(d, node->in[1], 1, 0);
    pm_bind_out(d, order, 0);
    pm_bind_out(d, sorted, 0);
    pm_groups(d, pm_ceil_div(count, 4 * lanes), 1, 1, 0, (double)count * count);

    d = pm_dispatch_begin(lowering, "embedding_start", lanes);
    pm_push_u32(d, count);
    pm_push_u32(d, rows);
    pm_bind_in(d, sorted, 1, 0);
    pm_bind_out(d, start, 0);
    pm_groups(d, pm_ceil_div(rows + 1, lanes), 1, 1, 0, 0);

    bool quads = pm_is_quads(width);
    uint32_t unit = quads ? 4 : 1;
    pm_slab slab = pm_slab_of(lowering, rows, width / unit, pm_slab_turns(lowering));
    d = pm_dispatch_begin(lowering, quads ? "embedding_backward" : "embedding_backward_ragged", lanes);
    pm_push_slab(d, &slab, rows * (width / unit));
    pm_push_divisor(d, width / unit);
    pm_bind_in(d, node->in[0], unit, 0);
    pm_bind_in(d, order, 1, 0);
    pm_bind_in(d, start, 1, 0);
    pm_bind_out(d, node->out[0], pm_slab_stride(&slab, width));
    pm_groups(d, slab.groups_x, slab.groups_y, 1, 1, (double)count * width);
}

static void reference_embedding_backward(const pm_reference *ref)
{
    uint32_t rows = ref->out[0].shape.dim[0], width = ref->out[0].shape.dim[1];
    memset(ref->out[0].f, 0, ref->out[0].count * sizeof(double));
    for (uint32_t i = 0; i < ref->in[0].count; i++) {
        uint32_t row = ref->in[1].u[i / width];
        if (row < rows) ref->out[0].f[row * width + i % width] += ref->in[0].f[i];
    }
}

/* p: rows of the table, count and width of the gradient's rows, and below what indices are drawn. */
static pm_tensor case_embedding_backward(pm_graph *graph, const uint32_t *p)
{
    rows_attr attr = {p[0]};
    pm_tensor dy = pm_case_leaf(graph, "dy", PM_SHAPE(p[1], p[2]), 1.0f);
    pm_tensor in[] = {dy, pm_case_indices(graph, "index", PM_SHAPE(p[1]), p[3])};
    return pm_emit(graph, &pm_op_embedding_backward, in, 2, &attr, sizeof attr, NULL);
}

static const pm_case cases_embedding_backward[] = {
    {.name = "bytes", .build = case_embedding_backward, .p = {257, 600, 64, 257}, .no_gradient = true},
    {.name = "large table, odd width",
     .build = case_embedding_backward,
     .p = {3001, 150, 7, 3100},
     .no_gradient = true},
};

/* The cases of embedding are cases of it, too. */
const pm_op pm_op_embedding_backward = {
    .name = "embedding_backward",
    .shape = shape_embedding_backward,
    .lower = lower_embedding_backward,
    .reference = reference_embedding_backward,
    PM_CASES(cases_embedding_backward),
};
