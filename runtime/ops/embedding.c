/* Rows of a table by index, and the table's gradient. */
#include "base/status.h"
#include "ops/check.h"
#include "ops/slab.h"
#include "ops/table.h"

#include <string.h>

static uint32_t unit_of(uint32_t width)
{
    return pm_is_quads(width) ? 4 : 1;
}

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

/* The rows that lie in a window of the table. Zeros, for an index beyond it, come with its last row. */
static void look_up(pm_lowering *lowering, const pm_node *node, const pm_window *table)
{
    pm_shape shape = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t rows = pm_count_of(lowering->graph, node->in[1]), width = shape.dim[1];
    uint32_t unit = unit_of(width);
    pm_slab slab = pm_slab_of(lowering, rows, width / unit, pm_slab_turns(lowering));

    pm_dispatch *d =
        pm_dispatch_begin(lowering, unit == 4 ? "embedding" : "embedding_ragged", lowering->rules->lanes);
    pm_spec_window(d, table);
    pm_push_slab(d, &slab, rows * (width / unit));
    pm_push_u32(d, shape.dim[0]);
    pm_push_divisor(d, width / unit);
    pm_push_window(d, table, 4 * unit);
    pm_bind_in(d, table->tensor, unit, 0);
    pm_bind_in(d, node->in[1], 1, pm_slab_stride(&slab, 1));
    pm_bind_out(d, node->out[0], pm_slab_stride(&slab, width));
    pm_slab_groups(d, &slab);
}

static void lower_embedding(pm_lowering *lowering, const pm_node *node)
{
    uint32_t unit = unit_of(pm_shape_of(lowering->graph, node->in[0]).dim[1]);
    for (pm_window w = pm_window_first(lowering, node->in[0], unit); pm_window_is(&w); pm_window_next(&w)) {
        look_up(lowering, node, &w);
    }
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
    {.name = "large", .build = case_embedding, .p = {257, 130, 16, 255, 257}, .large = true},
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

/* The positions of the indices, in the order of the indices, equal ones in their own; and the indices. */
typedef struct sorted_indices {
    pm_tensor order, sorted;
    uint32_t count;
} sorted_indices;

static sorted_indices sort(pm_lowering *lowering, pm_tensor index)
{
    uint32_t count = pm_count_of(lowering->graph, index), lanes = lowering->rules->lanes;
    sorted_indices s = {pm_scratch(lowering, PM_DTYPE_U32, count), pm_scratch(lowering, PM_DTYPE_U32, count),
                        count};
    (void)pm_rounds_fit(lowering, "embedding", "so many indices", count);
    pm_dispatch *d = pm_dispatch_begin(lowering, "embedding_sort", lanes);
    pm_push_u32(d, count);
    pm_bind_in(d, index, 1, 0);
    pm_bind_out(d, s.order, 0);
    pm_bind_out(d, s.sorted, 0);
    pm_groups(d, pm_ceil_div(count, 4 * lanes), 1, 1, 0, (double)count * count);
    return s;
}

/* Where the runs of `rows` rows begin, from row `first` on, and where the last one ends. */
static pm_tensor find_runs(pm_lowering *lowering, const sorted_indices *s, uint32_t first, uint32_t rows)
{
    pm_tensor start = pm_scratch(lowering, PM_DTYPE_U32, rows + 1);
    uint32_t lanes = lowering->rules->lanes;
    pm_dispatch *d = pm_dispatch_begin(lowering, "embedding_start", lanes);
    pm_push_u32(d, s->count);
    pm_push_u32(d, rows);
    pm_push_u32(d, first);
    pm_bind_in(d, s->sorted, 1, 0);
    pm_bind_out(d, start, 0);
    pm_groups(d, pm_ceil_div(rows + 1, lanes), 1, 1, 0, 0);
    return start;
}

/* Each row of dtable adds up what its run has in a window of dy. */
static void add_runs(pm_lowering *lowering, const sorted_indices *s, pm_tensor start, const pm_window *dy,
                     pm_tensor dtable)
{
    pm_shape shape = pm_shape_of(lowering->graph, dtable);
    uint32_t rows = shape.dim[0], width = shape.dim[1], unit = unit_of(width);
    /* A lane goes through the runs of all units that it has: where they could be too long, it has one. */
    bool is_long = s->count > lowering->rules->most_rounds / 2;
    pm_slab slab = pm_slab_of(lowering, rows, width / unit, is_long ? 1 : pm_slab_turns(lowering));
    pm_dispatch *d = pm_dispatch_begin(
        lowering, unit == 4 ? "embedding_backward" : "embedding_backward_ragged", lowering->rules->lanes);
    pm_spec_window(d, dy);
    pm_push_slab(d, &slab, rows * (width / unit));
    pm_push_divisor(d, width / unit);
    pm_push_window(d, dy, 4 * unit);
    pm_bind_in(d, dy->tensor, unit, 0);
    pm_bind_in(d, s->order, 1, 0);
    pm_bind_in(d, start, 1, 0);
    pm_bind_update(d, dtable, pm_slab_stride(&slab, width));
    pm_groups(d, slab.groups_x, slab.groups_y, 1, 1, (double)s->count * width);
}

/* The indices are sorted first, equal ones in their order; then each row of the table adds up its own run. A
 * table of more rows than one binding has room for runs is taken in blocks of rows. */
static void lower_embedding_backward(pm_lowering *lowering, const pm_node *node)
{
    uint32_t rows = PM_ATTR(rows_attr, node)->rows;
    uint32_t width = pm_shape_of(lowering->graph, node->out[0]).dim[1];
    uint64_t most = pm_reach(lowering, 0) / 4 / 64 * 64 - 64; /* a block begins where it can be bound */
    uint32_t block = rows > most && most ? (uint32_t)most : rows;
    sorted_indices sorted = sort(lowering, node->in[1]);
    for (uint32_t first = 0; first < rows; first += block) {
        uint32_t count = rows - first < block ? rows - first : block;
        pm_tensor start = find_runs(lowering, &sorted, first, count);
        pm_tensor dtable = node->out[0];
        if (count < rows)
            dtable = pm_view(lowering->graph, dtable, (uint64_t)first * width * 4, PM_SHAPE(count, width));
        for (pm_window dy = pm_window_first(lowering, node->in[0], unit_of(width)); pm_window_is(&dy);
             pm_window_next(&dy)) {
            add_runs(lowering, &sorted, start, &dy, dtable);
        }
    }
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
