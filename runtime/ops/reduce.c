/* Sums over axes, and their gradient, which is to repeat along axes. */
#include "ops/reduce.h"

#include "base/status.h"
#include "ops/check.h"
#include "ops/layout.h"
#include "ops/table.h"

/* ---- Column sums --------------------------------------------------------------------------------------- */

#define FEW_ROWS 128u /* added by one invocation, without a second pass */
#define FOLD 128u     /* a long row that is to be summed is seen as rows of this many elements first */

/* Rows that are added into one: all of a few; else about sqrt(rows), a divisor of rows where there is one, so
 * that a dispatch over many blocks can be cut anywhere. */
static uint32_t chunk_of(uint32_t rows)
{
    uint32_t root = 1;
    if (rows <= FEW_ROWS) return rows;
    while (root * root < rows) root *= 2;
    for (uint32_t chunk = root; chunk > root / 2; chunk--) {
        if (rows % chunk == 0) return chunk;
    }
    return root;
}

/* x [outer, block] seen as [outer, rows, width], the last row possibly shorter, to y [outer, chunks, width],
 * every `chunk` rows becoming one; in units of so many elements. */
typedef struct chunk_sums {
    pm_tensor y;
    uint32_t outer, block, width, chunk, chunks, unit;
} chunk_sums;

/* Adds up what the window has of x, of which a slab covers in_stride bytes. */
static void sum_window(pm_lowering *lowering, const chunk_sums *s, const pm_window *x, const pm_slab *slab,
                       uint32_t in_stride)
{
    pm_dispatch *d = pm_dispatch_begin(lowering, s->unit == 4 ? "sum" : "sum_ragged", lowering->rules->lanes);
    pm_spec(d, s->unit == 4 ? s->block % 4 : 0);
    pm_spec_window(d, x);
    pm_push_slab(d, slab, s->outer * s->chunks * (s->width / s->unit));
    pm_push_u32(d, in_stride / 4 / s->unit);
    pm_push_u32(d, pm_ceil_div(s->block, s->unit));
    pm_push_u32(d, s->chunk);
    pm_push_divisor(d, s->width / s->unit);
    pm_push_divisor(d, s->chunks);
    pm_push_window(d, x, 4 * s->unit);
    pm_bind_in(d, x->tensor, s->unit, in_stride);
    pm_bind_update(d, s->y, pm_slab_stride(slab, slab->units / slab->rows * s->unit));
    pm_groups(d, slab->groups_x, slab->groups_y, 1, 1,
              (double)s->outer * s->block * (double)(x->end - x->begin) / (double)x->bytes);
}

static void sum_chunks(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t outer, uint32_t block,
                       uint32_t width, uint32_t chunk)
{
    uint32_t chunks = pm_ceil_div(pm_ceil_div(block, width), chunk);
    bool quads = pm_is_quads(width) && (outer == 1 || pm_is_quads(block));
    chunk_sums s = {y, outer, block, width, chunk, chunks, quads ? 4 : 1};
    /* Cut between chunks where all are equally long or there is one block; else between blocks. */
    bool by_chunk = outer == 1 || block % (width * chunk) == 0;
    uint32_t turns = lowering->rules->is_cpu && chunk < 64 ? 64 / chunk : 1;
    uint32_t rows_out = by_chunk ? 1 : chunks;
    pm_slab slab = pm_slab_of(lowering, outer * chunks / rows_out, rows_out * (width / s.unit), turns);
    pm_window all = pm_window_all(lowering, x);
    sum_window(lowering, &s, &all, &slab, pm_slab_stride(&slab, by_chunk ? width * chunk : block));
    if (pm_dispatch_stays(lowering)) return;

    slab = pm_slab_of(lowering, outer * chunks * (width / s.unit), 1, turns);
    for (pm_window w = pm_window_first(lowering, x, s.unit); pm_window_is(&w); pm_window_next(&w)) {
        sum_window(lowering, &s, &w, &slab, 0);
    }
}

void pm_lower_columns(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t count, uint32_t width)
{
    sum_chunks(lowering, x, y, 1, count, width, pm_ceil_div(count, width));
}

void pm_lower_sum(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t outer, uint32_t rows,
                  uint32_t width)
{
    uint32_t block = rows * width, w = width == 1 && rows > 2 * FOLD ? FOLD : width;
    for (;;) {
        uint32_t n = pm_ceil_div(block, w), chunk = chunk_of(n), chunks = pm_ceil_div(n, chunk);
        bool last = chunks == 1 && w == width;
        pm_tensor out = last ? y : pm_scratch(lowering, PM_DTYPE_F32, outer * chunks * w);
        sum_chunks(lowering, x, out, outer, block, w, chunk);
        if (last || !pm_is(out)) return;
        x = out;
        block = chunks * w;
        if (chunks == 1) w = width; /* unfolds */
    }
}

/* ---- Sum to a shape ------------------------------------------------------------------------------------ */

typedef struct shape_attr {
    pm_shape shape;
} shape_attr;

/* `small` with leading axes of extent 1 up to the rank of `large`; false where it cannot be repeated to
 * `large`. */
static bool align_shapes(pm_shape small, pm_shape large, pm_shape *aligned)
{
    if (small.rank > large.rank || small.rank == 0) return false;
    *aligned = large;
    for (uint32_t axis = 0; axis < large.rank; axis++) {
        uint32_t missing = large.rank - small.rank;
        aligned->dim[axis] = axis < missing ? 1 : small.dim[axis - missing];
        if (aligned->dim[axis] != 1 && aligned->dim[axis] != large.dim[axis]) return false;
    }
    return true;
}

static void shape_to(pm_graph *graph, pm_node *node, bool sum)
{
    pm_shape to = PM_ATTR(shape_attr, node)->shape, aligned;
    char from_text[64], to_text[64];
    if (sum ? !pm_check_operand(graph, node, 0, PM_DTYPE_F32) : !pm_check_words(graph, node, 0)) return;
    if (to.rank > PM_MAX_RANK) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: a shape has at most %d axes, not %u", node->op->name,
                      PM_MAX_RANK, to.rank);
        return;
    }
    pm_shape from = pm_shape_of(graph, node->in[0]);
    if (!(sum ? align_shapes(to, from, &aligned) : align_shapes(from, to, &aligned))) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "%s: %s does not go to %s: axes must be equal, or 1 in the smaller shape",
                      node->op->name, pm_shape_text(from, from_text), pm_shape_text(to, to_text));
        return;
    }
    pm_node_output(graph, node, pm_dtype_of(graph, node->in[0]), to);
}

static void shape_sum_to(pm_graph *graph, pm_node *node)
{
    shape_to(graph, node, true);
}

/* Sums over one run of neighbouring axes after another; x is seen as [outer, axes to sum over, inner]. */
static void lower_sum_to(pm_lowering *lowering, const pm_node *node)
{
    pm_tensor x = node->in[0];
    pm_shape now = pm_shape_of(lowering->graph, x), to = now;
    (void)align_shapes(pm_shape_of(lowering->graph, node->out[0]), now, &to);
    while (!pm_shape_equal(now, to)) {
        uint32_t first = 0, outer = 1, rows = 1, width = 1, count = 1;
        while (now.dim[first] == to.dim[first]) outer *= now.dim[first++];
        uint32_t end = first;
        for (; end < now.rank && to.dim[end] == 1; end++) {
            rows *= now.dim[end];
            now.dim[end] = 1;
        }
        for (uint32_t axis = end; axis < now.rank; axis++) width *= now.dim[axis];
        for (uint32_t axis = 0; axis < now.rank; axis++) count *= now.dim[axis];
        bool last = pm_shape_equal(now, to);
        pm_tensor y = last ? node->out[0] : pm_scratch(lowering, PM_DTYPE_F32, count);
        pm_lower_sum(lowering, x, y, outer, rows, width);
        x = y;
    }
}

/* Where element i of `large` lies in the aligned smaller shape. */
static uint32_t repeated_from(uint32_t i, pm_shape large, pm_shape small)
{
    uint32_t at = 0, stride = 1;
    for (uint32_t axis = large.rank; axis-- > 0; i /= large.dim[axis]) {
        if (small.dim[axis] != 1) at += i % large.dim[axis] * stride;
        stride *= small.dim[axis];
    }
    return at;
}

static void reference_sum_to(const pm_reference *ref)
{
    pm_shape large = ref->in[0].shape, small;
    (void)align_shapes(ref->out[0].shape, large, &small);
    for (uint32_t i = 0; i < ref->out[0].count; i++) ref->out[0].f[i] = 0;
    for (uint32_t i = 0; i < ref->in[0].count; i++) {
        ref->out[0].f[repeated_from(i, large, small)] += ref->in[0].f[i];
    }
}

static void backward_sum_to(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                            const bool *wants, pm_tensor *grad_in)
{
    (void)wants;
    grad_in[0] = pm_broadcast(graph, grad_out[0], pm_shape_of(graph, node->in[0]));
}

pm_tensor pm_sum_to(pm_graph *graph, pm_tensor x, pm_shape shape)
{
    shape_attr attr = {shape};
    if (!pm_ok(graph)) return PM_NONE;
    pm_shape from = pm_shape_of(graph, x), aligned;
    if (align_shapes(shape, from, &aligned) && pm_shape_equal(aligned, from))
        return pm_reshape(graph, x, shape);
    return pm_emit(graph, &pm_op_sum_to, &x, 1, &attr, sizeof attr, NULL);
}

pm_tensor pm_sum(pm_graph *graph, pm_tensor x)
{
    return pm_sum_to(graph, x, PM_SHAPE(1));
}

/* p: x's shape, then the target's, each of four axes where 0 means that there is no such axis. */
static pm_tensor case_sum_to(pm_graph *graph, const uint32_t *p)
{
    pm_shape from = {0}, to = {0};
    for (uint32_t i = 0; i < 8; i++) {
        pm_shape *shape = i < 4 ? &from : &to;
        if (p[i]) shape->dim[shape->rank++] = p[i];
    }
    return pm_sum_to(graph, pm_case_leaf(graph, "x", from, 1.0f), to);
}

static const pm_case cases_sum_to[] = {
    {.name = "columns", .build = case_sum_to, .p = {0, 37, 5, 8, 0, 0, 0, 8}},
    {.name = "columns, two passes", .build = case_sum_to, .p = {0, 0, 301, 8, 0, 0, 0, 8}},
    {.name = "columns, odd", .build = case_sum_to, .p = {0, 0, 260, 7, 0, 0, 0, 7}},
    {.name = "within samples", .build = case_sum_to, .p = {3, 15, 10, 4, 3, 1, 1, 4}},
    {.name = "rows", .build = case_sum_to, .p = {0, 0, 50, 9, 0, 0, 50, 1}},
    {.name = "long rows", .build = case_sum_to, .p = {0, 0, 3, 771, 0, 0, 3, 1}},
    {.name = "axes apart", .build = case_sum_to, .p = {5, 4, 3, 8, 1, 4, 1, 8}},
    {.name = "all", .build = case_sum_to, .p = {0, 0, 0, 2999, 0, 0, 0, 1}},
    {.name = "columns, several workgroups",
     .build = case_sum_to,
     .p = {0, 0, 5003, 20, 0, 0, 0, 20},
     .no_gradient = true},
    {.name = "within samples, several workgroups",
     .build = case_sum_to,
     .p = {7, 20, 30, 16, 7, 1, 1, 16},
     .no_gradient = true},
    {.name = "samples of odd length",
     .build = case_sum_to,
     .p = {0, 50, 131, 12, 0, 50, 1, 12},
     .no_gradient = true},
    {.name = "long odd rows", .build = case_sum_to, .p = {0, 0, 70, 1001, 0, 0, 70, 1}, .no_gradient = true},
    {.name = "all of many", .build = case_sum_to, .p = {0, 0, 0, 70001, 0, 0, 0, 1}, .no_gradient = true},
    {.name = "one element", .build = case_sum_to, .p = {0, 0, 2, 1, 0, 0, 0, 1}},
    {.name = "columns, large", .build = case_sum_to, .p = {0, 0, 6271, 33, 0, 0, 0, 33}, .large = true},
    {.name = "columns, 28x28, 32 channels",
     .build = case_sum_to,
     .p = {0, 0, 25088, 32, 0, 0, 0, 32},
     .bench = true},
};

const pm_op pm_op_sum_to = {
    .name = "sum_to",
    .shape = shape_sum_to,
    .backward = backward_sum_to,
    .lower = lower_sum_to,
    .reference = reference_sum_to,
    PM_CASES(cases_sum_to),
};

/* ---- Broadcast ----------------------------------------------------------------------------------------- */

static void shape_broadcast(pm_graph *graph, pm_node *node)
{
    shape_to(graph, node, false);
}

static pm_strided view_of_broadcast(const pm_graph *graph, const pm_node *node)
{
    pm_shape large = pm_shape_of(graph, node->out[0]), small = large;
    (void)align_shapes(pm_shape_of(graph, node->in[0]), large, &small);
    pm_strided view = pm_dense_view(small);
    for (uint32_t axis = 0; axis < large.rank; axis++) {
        if (small.dim[axis] == 1) view.stride[axis] = 0;
        view.extent[axis] = large.dim[axis];
    }
    return view;
}

static void lower_broadcast(pm_lowering *lowering, const pm_node *node)
{
    pm_lower_gather(lowering, node->in[0], node->out[0], view_of_broadcast(lowering->graph, node), 1.0f);
}

static void reference_broadcast(const pm_reference *ref)
{
    pm_shape large = ref->out[0].shape, small;
    (void)align_shapes(ref->in[0].shape, large, &small);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        pm_host_copy(&ref->out[0], i, &ref->in[0], repeated_from(i, large, small));
    }
}

static void backward_broadcast(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                               const bool *wants, pm_tensor *grad_in)
{
    (void)wants;
    grad_in[0] = pm_sum_to(graph, grad_out[0], pm_shape_of(graph, node->in[0]));
}

pm_tensor pm_broadcast(pm_graph *graph, pm_tensor x, pm_shape shape)
{
    shape_attr attr = {shape};
    if (!pm_ok(graph)) return PM_NONE;
    if (pm_is(x) && pm_shape_equal(pm_shape_of(graph, x), shape)) return x;
    return pm_emit(graph, &pm_op_broadcast, &x, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_broadcast(pm_graph *graph, const uint32_t *p)
{
    pm_shape from = {0}, to = {0};
    for (uint32_t i = 0; i < 8; i++) {
        pm_shape *shape = i < 4 ? &from : &to;
        if (p[i]) shape->dim[shape->rank++] = p[i];
    }
    return pm_broadcast(graph, pm_case_leaf(graph, "x", from, 1.0f), to);
}

static const pm_case cases_broadcast[] = {
    {.name = "along rows", .build = case_broadcast, .p = {0, 0, 0, 8, 0, 5, 3, 8}},
    {.name = "along rows, odd", .build = case_broadcast, .p = {0, 0, 0, 7, 0, 5, 3, 7}},
    {.name = "within samples", .build = case_broadcast, .p = {3, 1, 1, 4, 3, 5, 7, 4}},
    {.name = "along columns", .build = case_broadcast, .p = {0, 0, 9, 1, 0, 0, 9, 12}},
    {.name = "axes apart", .build = case_broadcast, .p = {1, 3, 1, 4, 2, 3, 5, 4}},
    {.name = "within samples, several workgroups",
     .build = case_broadcast,
     .p = {30, 1, 1, 16, 30, 5, 7, 16},
     .no_gradient = true},
    {.name = "one element, several workgroups", .build = case_broadcast, .p = {0, 0, 0, 1, 0, 0, 25, 100}},
    {.name = "28x28, 32 channels",
     .build = case_broadcast,
     .p = {32, 1, 1, 32, 32, 28, 28, 32},
     .bench = true},
};

const pm_op pm_op_broadcast = {
    .name = "broadcast",
    .view = view_of_broadcast,
    .shape = shape_broadcast,
    .backward = backward_broadcast,
    .lower = lower_broadcast,
    .reference = reference_broadcast,
    PM_CASES(cases_broadcast),
};
