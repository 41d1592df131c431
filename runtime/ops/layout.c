/* Operators that put the same numbers elsewhere: slice, transpose, concat, and pad (the gradient of slice).
 * Broadcast and up-sampling use the strided views of this file, too. */
#include "ops/layout.h"

#include "base/status.h"
#include "ops/check.h"
#include "ops/table.h"

/* ---- Strided views ------------------------------------------------------------------------------------- */

pm_strided pm_dense_view(pm_shape shape)
{
    pm_strided view = {.rank = shape.rank};
    uint32_t stride = 1;
    for (uint32_t axis = shape.rank; axis-- > 0;) {
        view.extent[axis] = shape.dim[axis];
        view.stride[axis] = stride;
        stride *= shape.dim[axis];
    }
    return view;
}

/* The same view with as few axes as possible: without those of extent 1, and with one for two that run on
 * into each other. */
static pm_strided collapse(const pm_strided *view)
{
    pm_strided out = {.first = view->first};
    for (uint32_t axis = 0; axis < view->rank; axis++) {
        uint32_t extent = view->extent[axis], stride = view->stride[axis];
        if (extent == 1) continue;
        if (out.rank && out.stride[out.rank - 1] == extent * stride) {
            out.extent[out.rank - 1] *= extent;
            out.stride[out.rank - 1] = stride;
        } else {
            out.extent[out.rank] = extent;
            out.stride[out.rank++] = stride;
        }
    }
    if (out.rank == 0) out.extent[out.rank++] = 1;
    return out;
}

/* Makes the unit four elements, where every run of the view is whole vectors of the input and of the
 * output. */
static bool use_quads(pm_strided *view)
{
    uint32_t last = view->rank - 1;
    if (view->stride[last] != 1 || !pm_is_quads(view->extent[last]) || !pm_is_quads(view->first))
        return false;
    for (uint32_t axis = 0; axis < last; axis++) {
        if (!pm_is_quads(view->stride[axis])) return false;
    }
    for (uint32_t axis = 0; axis < last; axis++) view->stride[axis] /= 4;
    view->extent[last] /= 4;
    view->first /= 4;
    return true;
}

uint32_t pm_view_row(const pm_strided *view)
{
    uint32_t units = 1;
    for (uint32_t axis = 1; axis < view->rank; axis++) units *= view->extent[axis];
    return units;
}

/* Units of the input that one row of the output covers, where rows cover parts of the input that follow each
 * other; 0 where they do not. */
static uint32_t input_row(const pm_strided *view)
{
    uint64_t end = (uint64_t)view->first + 1;
    for (uint32_t axis = 1; axis < view->rank; axis++) {
        end += (uint64_t)(view->extent[axis] - 1) * view->stride[axis];
    }
    return end <= view->stride[0] ? view->stride[0] : 0;
}

void pm_push_view(pm_dispatch *dispatch, const pm_slab *slab, const pm_strided *view, uint32_t input_slab)
{
    pm_push_slab(dispatch, slab, view->extent[0] * pm_view_row(view));
    pm_push_u32(dispatch, input_slab);
    pm_push_u32(dispatch, view->first);
    for (uint32_t axis = 0; axis < PM_VIEW_AXES; axis++) {
        pm_push_u32(dispatch, axis < view->rank ? view->stride[axis] : 0);
    }
    for (uint32_t axis = 1; axis < PM_VIEW_AXES; axis++) {
        pm_push_divisor(dispatch, axis < view->rank ? view->extent[axis] : 1);
    }
}

/* y, in slabs, from what the window has of x, of which a slab covers in_stride bytes. */
static void gather(pm_lowering *lowering, const pm_window *x, pm_tensor y, const pm_strided *view,
                   uint32_t unit, float scale, const pm_slab *slab, uint32_t in_stride)
{
    bool integer = pm_dtype_of(lowering->graph, y) != PM_DTYPE_F32;
    const char *shader = unit == 4 ? "gather" : integer ? "gather_uint" : "gather_ragged";
    pm_dispatch *d = pm_dispatch_begin(lowering, shader, lowering->rules->lanes);
    pm_spec(d, view->rank);
    pm_spec(d, scale != 1.0f);
    pm_spec_window(d, x);
    pm_push_view(d, slab, view, in_stride / 4 / unit);
    pm_push_f32(d, scale);
    pm_push_window(d, x, 4 * unit);
    pm_bind_in(d, x->tensor, unit, in_stride);
    pm_bind_out(d, y, pm_slab_stride(slab, slab->units / slab->rows * unit));
    pm_slab_groups(d, slab);
}

void pm_lower_gather(pm_lowering *lowering, pm_tensor x, pm_tensor y, pm_strided view, float scale)
{
    bool integer = pm_dtype_of(lowering->graph, x) != PM_DTYPE_F32;
    view = collapse(&view);
    bool quads = !integer && use_quads(&view);
    uint32_t unit = quads ? 4 : 1, row = pm_view_row(&view), turns = pm_slab_turns(lowering);
    pm_slab slab = pm_slab_of(lowering, view.extent[0], row, turns);
    uint32_t in_stride = pm_slab_stride(&slab, input_row(&view) * unit);
    pm_window all = pm_window_all(lowering, x);
    gather(lowering, &all, y, &view, unit, scale, &slab, in_stride);
    if (pm_dispatch_stays(lowering)) return;

    /* Rows that are too long, or of an input that does not go along with them: units alone, from windows. */
    slab = pm_slab_of(lowering, view.extent[0] * row, 1, turns);
    for (pm_window w = pm_window_first(lowering, x, unit); pm_window_is(&w); pm_window_next(&w)) {
        gather(lowering, &w, y, &view, unit, scale, &slab, 0);
    }
}

/* ---- Slice --------------------------------------------------------------------------------------------- */

typedef struct range_attr {
    uint32_t axis, begin;
    uint32_t extent; /* along the axis: of the slice, or of what pad makes */
} range_attr;

/* Elements in one step of the axes before `axis`, i.e. of a row, when a tensor is seen as [rows, extent *
 * inner]. */
static uint32_t run_of(pm_shape shape, uint32_t axis)
{
    uint32_t run = 1;
    for (uint32_t i = axis; i < shape.rank; i++) run *= shape.dim[i];
    return run;
}

static void shape_slice(pm_graph *graph, pm_node *node)
{
    const range_attr *attr = PM_ATTR(range_attr, node);
    char text[64];
    if (!pm_check_words(graph, node, 0)) return;
    pm_shape shape = pm_shape_of(graph, node->in[0]);
    if (attr->axis >= shape.rank || attr->extent == 0 || attr->begin >= shape.dim[attr->axis] ||
        attr->extent > shape.dim[attr->axis] - attr->begin) {
        pm_graph_fail(graph, PM_BAD_USAGE, "slice: %u elements from %u along axis %u do not lie in %s",
                      attr->extent, attr->begin, attr->axis, pm_shape_text(shape, text));
        return;
    }
    shape.dim[attr->axis] = attr->extent;
    pm_node_output(graph, node, pm_dtype_of(graph, node->in[0]), shape);
}

static pm_strided view_of_slice(const pm_graph *graph, const pm_node *node)
{
    const range_attr *attr = PM_ATTR(range_attr, node);
    pm_strided view = pm_dense_view(pm_shape_of(graph, node->in[0]));
    view.extent[attr->axis] = attr->extent;
    view.first = attr->begin * view.stride[attr->axis];
    return view;
}

static void lower_slice(pm_lowering *lowering, const pm_node *node)
{
    pm_lower_gather(lowering, node->in[0], node->out[0], view_of_slice(lowering->graph, node), 1.0f);
}

/* For each element of the smaller tensor: where it is in the larger one, which has `begin` more before it in
 * each row. */
static uint32_t place_in_row(uint32_t i, uint32_t begin, uint32_t small_row, uint32_t large_row)
{
    return i / small_row * large_row + begin + i % small_row;
}

static void reference_slice(const pm_reference *ref)
{
    const range_attr *attr = PM_ATTR(range_attr, ref->node);
    uint32_t x_row = run_of(ref->in[0].shape, attr->axis), y_row = run_of(ref->out[0].shape, attr->axis);
    uint32_t begin = attr->begin * (y_row / attr->extent);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        pm_host_copy(&ref->out[0], i, &ref->in[0], place_in_row(i, begin, y_row, x_row));
    }
}

static void backward_slice(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                           pm_tensor *grad_in)
{
    const range_attr *attr = PM_ATTR(range_attr, node);
    (void)wants;
    grad_in[0] =
        pm_pad(graph, grad_out[0], attr->axis, attr->begin, pm_shape_of(graph, node->in[0]).dim[attr->axis]);
}

pm_tensor pm_slice(pm_graph *graph, pm_tensor x, uint32_t axis, uint32_t begin, uint32_t end)
{
    if (!pm_ok(graph)) return PM_NONE;
    pm_shape shape = pm_shape_of(graph, x);
    if (axis < shape.rank && begin == 0 && end == shape.dim[axis]) return x;
    range_attr attr = {axis, begin, end > begin ? end - begin : 0};
    return pm_emit(graph, &pm_op_slice, &x, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_slice(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2]), 1.0f);
    return pm_slice(graph, x, p[3], p[4], p[5]);
}

static pm_tensor case_slice_integers(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_indices(graph, "x", PM_SHAPE(p[0], p[1]), 1000);
    return pm_slice(graph, x, p[2], p[3], p[4]);
}

static const pm_case cases_slice[] = {
    {.name = "channels", .build = case_slice, .p = {3, 5, 12, 2, 4, 8}},
    {.name = "channels, odd", .build = case_slice, .p = {3, 5, 7, 2, 2, 5}},
    {.name = "middle axis", .build = case_slice, .p = {2, 7, 8, 1, 1, 6}},
    {.name = "first axis", .build = case_slice, .p = {5, 3, 3, 0, 4, 5}},
    {.name = "odd, several workgroups", .build = case_slice, .p = {30, 10, 9, 1, 3, 9}},
    {.name = "several workgroups", .build = case_slice, .p = {70, 30, 16, 2, 4, 16}, .no_gradient = true},
    {.name = "integers", .build = case_slice_integers, .p = {350, 9, 1, 1, 9}, .no_gradient = true},
    {.name = "28x28, 32 of 64 channels", .build = case_slice, .p = {32, 784, 64, 2, 0, 32}, .bench = true},
};

const pm_op pm_op_slice = {
    .name = "slice",
    .view = view_of_slice,
    .shape = shape_slice,
    .backward = backward_slice,
    .lower = lower_slice,
    .reference = reference_slice,
    PM_CASES(cases_slice),
};

/* ---- Transpose ----------------------------------------------------------------------------------------- */

typedef struct transpose_attr {
    uint32_t order[PM_MAX_RANK];
} transpose_attr;

static void shape_transpose(pm_graph *graph, pm_node *node)
{
    const transpose_attr *attr = PM_ATTR(transpose_attr, node);
    uint32_t seen = 0;
    if (!pm_check_words(graph, node, 0)) return;
    pm_shape x = pm_shape_of(graph, node->in[0]), y = x;
    for (uint32_t i = 0; i < x.rank; i++) {
        if (attr->order[i] < x.rank) {
            seen |= 1u << attr->order[i];
            y.dim[i] = x.dim[attr->order[i]];
        }
    }
    if (seen != (1u << x.rank) - 1) {
        pm_graph_fail(graph, PM_BAD_USAGE, "transpose: the order must name each of the %u axes once", x.rank);
        return;
    }
    pm_node_output(graph, node, pm_dtype_of(graph, node->in[0]), y);
}

static void lower_transpose(pm_lowering *lowering, const pm_node *node)
{
    const transpose_attr *attr = PM_ATTR(transpose_attr, node);
    pm_strided x = pm_dense_view(pm_shape_of(lowering->graph, node->in[0])), view = x;
    for (uint32_t i = 0; i < x.rank; i++) {
        view.extent[i] = x.extent[attr->order[i]];
        view.stride[i] = x.stride[attr->order[i]];
    }
    pm_lower_gather(lowering, node->in[0], node->out[0], view, 1.0f);
}

static void reference_transpose(const pm_reference *ref)
{
    const transpose_attr *attr = PM_ATTR(transpose_attr, ref->node);
    pm_shape from = ref->in[0].shape, to = ref->out[0].shape;
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t at[PM_MAX_RANK] = {0}, rest = i, j = 0; /* at: coordinates in x */
        for (uint32_t axis = to.rank; axis-- > 0; rest /= to.dim[axis])
            at[attr->order[axis]] = rest % to.dim[axis];
        for (uint32_t axis = 0; axis < from.rank; axis++) j = j * from.dim[axis] + at[axis];
        pm_host_copy(&ref->out[0], i, &ref->in[0], j);
    }
}

static void backward_transpose(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                               const bool *wants, pm_tensor *grad_in)
{
    const uint32_t *order = PM_ATTR(transpose_attr, node)->order;
    uint32_t inverse[PM_MAX_RANK] = {0};
    (void)wants;
    for (uint32_t i = 0; i < pm_shape_of(graph, node->in[0]).rank; i++) inverse[order[i]] = i;
    grad_in[0] = pm_transpose(graph, grad_out[0], inverse);
}

pm_tensor pm_transpose(pm_graph *graph, pm_tensor x, const uint32_t *order)
{
    transpose_attr attr = {{0}};
    if (!pm_ok(graph)) return PM_NONE;
    for (uint32_t i = 0; i < pm_shape_of(graph, x).rank; i++) attr.order[i] = order[i];
    return pm_emit(graph, &pm_op_transpose, &x, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_transpose(pm_graph *graph, const uint32_t *p)
{
    uint32_t order[4] = {p[4] / 1000, p[4] / 100 % 10, p[4] / 10 % 10, p[4] % 10};
    pm_shape shape = PM_SHAPE(p[0], p[1], p[2], p[3]);
    if (p[5]) return pm_transpose(graph, pm_case_indices(graph, "x", shape, 1000), order);
    return pm_transpose(graph, pm_case_leaf(graph, "x", shape, 1.0f), order);
}

static const pm_case cases_transpose[] = {
    {.name = "inner run kept", .build = case_transpose, .p = {2, 3, 5, 8, 213}},
    {.name = "inner run odd", .build = case_transpose, .p = {2, 3, 5, 3, 213}},
    {.name = "last two axes", .build = case_transpose, .p = {3, 1, 8, 12, 132}},
    {.name = "reversed", .build = case_transpose, .p = {2, 3, 4, 5, 3210}},
    {.name = "several workgroups", .build = case_transpose, .p = {7, 125, 5, 8, 1023}, .no_gradient = true},
    {.name = "odd, several workgroups", .build = case_transpose, .p = {2, 30, 4, 9, 2103}},
    {.name = "integers", .build = case_transpose, .p = {1, 1, 33, 41, 132, 1}, .no_gradient = true},
    {.name = "large", .build = case_transpose, .p = {5, 250, 4, 66, 213}, .large = true},
    {.name = "heads, 16x256", .build = case_transpose, .p = {16, 256, 4, 64, 213}, .bench = true},
};

const pm_op pm_op_transpose = {
    .name = "transpose",
    .shape = shape_transpose,
    .backward = backward_transpose,
    .lower = lower_transpose,
    .reference = reference_transpose,
    PM_CASES(cases_transpose),
};

/* ---- Concat and pad ------------------------------------------------------------------------------------ */

/* Rows of y: those of a from element `begin` on, around them those of b, or zeros where b is absent. Widths
 * and `begin` are in units of so many elements. */
typedef struct side_by_side {
    pm_tensor a, b, y;
    uint32_t unit, begin, width, a_width, rows;
} side_by_side;

typedef enum concat_part { PART_ALL = 0, PART_A = 1, PART_B = 2 } concat_part; /* as in concat.glsl */

/* One dispatch of it, without its operands. */
static pm_dispatch *begin_concat(pm_lowering *lowering, const side_by_side *s, const pm_slab *slab,
                                 concat_part part, const pm_window *window)
{
    bool integer = pm_dtype_of(lowering->graph, s->y) != PM_DTYPE_F32;
    uint32_t b_width = s->width - s->a_width;
    pm_dispatch *d = pm_dispatch_begin(lowering,
                                       s->unit == 4 ? "concat"
                                       : integer    ? "concat_uint"
                                                    : "concat_ragged",
                                       lowering->rules->lanes);
    pm_spec(d, pm_is(s->b));
    pm_spec(d, part);
    pm_spec_window(d, window);
    pm_push_slab(d, slab, s->rows * s->width);
    pm_push_u32(d, s->rows);
    pm_push_u32(d, slab->rows);
    pm_push_u32(d, s->begin);
    pm_push_divisor(d, s->a_width);
    pm_push_divisor(d, b_width ? b_width : 1);
    pm_push_u32(d, s->width);
    pm_push_window(d, window, 4 * s->unit);
    return d;
}

static void concat_rows(pm_lowering *lowering, const side_by_side *s)
{
    pm_slab slab = pm_slab_of(lowering, s->rows, s->width, pm_slab_turns(lowering));
    uint32_t a_stride = pm_slab_stride(&slab, s->a_width * s->unit);
    uint32_t b_stride = pm_slab_stride(&slab, (s->width - s->a_width) * s->unit);
    pm_window all = pm_window_all(lowering, s->a);
    pm_dispatch *d = begin_concat(lowering, s, &slab, PART_ALL, &all);
    pm_bind_in(d, s->a, s->unit, a_stride);
    pm_bind_in(d, pm_is(s->b) ? s->b : s->a, s->unit, pm_is(s->b) ? b_stride : a_stride);
    pm_bind_out(d, s->y, pm_slab_stride(&slab, s->width * s->unit));
    pm_slab_groups(d, &slab);
}

/* What comes from a window of one of the two. */
static void concat_window(pm_lowering *lowering, const side_by_side *s, concat_part part,
                          const pm_window *window)
{
    pm_slab slab = pm_slab_of(lowering, s->rows * s->width, 1, pm_slab_turns(lowering));
    pm_dispatch *d = begin_concat(lowering, s, &slab, part, window);
    for (uint32_t i = 0; i < 2; i++) pm_bind_in(d, window->tensor, s->unit, 0);
    pm_bind_out(d, s->y, pm_slab_stride(&slab, s->unit));
    pm_slab_groups(d, &slab);
}

/* `s` in elements; its unit is found here. */
static void lower_rows(pm_lowering *lowering, side_by_side s)
{
    bool integer = pm_dtype_of(lowering->graph, s.y) != PM_DTYPE_F32;
    bool quads = !integer && pm_is_quads(s.width) && pm_is_quads(s.a_width) && pm_is_quads(s.begin);
    s.unit = quads ? 4 : 1;
    s.begin /= s.unit;
    s.width /= s.unit;
    s.a_width /= s.unit;
    concat_rows(lowering, &s);
    if (pm_dispatch_stays(lowering)) return;

    for (pm_window w = pm_window_first(lowering, s.a, s.unit); pm_window_is(&w); pm_window_next(&w)) {
        concat_window(lowering, &s, PART_A, &w);
    }
    pm_window none = pm_window_first(lowering, s.a, s.unit); /* zeros need no operand */
    if (!pm_is(s.b)) {
        concat_window(lowering, &s, PART_B, &none);
        return;
    }
    for (pm_window w = pm_window_first(lowering, s.b, s.unit); pm_window_is(&w); pm_window_next(&w)) {
        concat_window(lowering, &s, PART_B, &w);
    }
}

static void lower_side_by_side(pm_lowering *lowering, pm_tensor a, pm_tensor b, pm_tensor y, uint32_t axis,
                               uint32_t begin)
{
    const pm_graph *graph = lowering->graph;
    uint32_t width = run_of(pm_shape_of(graph, y), axis), a_width = run_of(pm_shape_of(graph, a), axis);
    lower_rows(lowering, (side_by_side){.a = a,
                                        .b = b,
                                        .y = y,
                                        .begin = begin,
                                        .width = width,
                                        .a_width = a_width,
                                        .rows = pm_count_of(graph, y) / width});
}

void pm_lower_longer_rows(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t rows, uint32_t width,
                          uint32_t longer)
{
    lower_rows(lowering, (side_by_side){.a = x, .y = y, .width = longer, .a_width = width, .rows = rows});
}

typedef struct concat_attr {
    uint32_t axis;
} concat_attr;

static void shape_concat(pm_graph *graph, pm_node *node)
{
    uint32_t axis = PM_ATTR(concat_attr, node)->axis;
    char a_text[64], b_text[64];
    if (!pm_check_words(graph, node, 0) ||
        !pm_check_operand(graph, node, 1, pm_dtype_of(graph, node->in[0]))) {
        return;
    }
    pm_shape a = pm_shape_of(graph, node->in[0]), b = pm_shape_of(graph, node->in[1]), rest = b;
    if (axis < a.rank && axis < b.rank) rest.dim[axis] = a.dim[axis];
    if (axis >= a.rank || !pm_shape_equal(a, rest) || b.dim[axis] > INT32_MAX - a.dim[axis]) {
        pm_graph_fail(graph, PM_BAD_USAGE, "concat: %s and %s cannot be joined along axis %u",
                      pm_shape_text(a, a_text), pm_shape_text(b, b_text), axis);
        return;
    }
    a.dim[axis] += b.dim[axis];
    pm_node_output(graph, node, pm_dtype_of(graph, node->in[0]), a);
}

static void lower_concat(pm_lowering *lowering, const pm_node *node)
{
    lower_side_by_side(lowering, node->in[0], node->in[1], node->out[0], PM_ATTR(concat_attr, node)->axis, 0);
}

static void reference_concat(const pm_reference *ref)
{
    uint32_t axis = PM_ATTR(concat_attr, ref->node)->axis;
    uint32_t a_row = run_of(ref->in[0].shape, axis), b_row = run_of(ref->in[1].shape, axis);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t row = i / (a_row + b_row), column = i % (a_row + b_row);
        bool from_a = column < a_row;
        pm_host_copy(&ref->out[0], i, &ref->in[from_a ? 0 : 1],
                     from_a ? row * a_row + column : row * b_row + column - a_row);
    }
}

static void backward_concat(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                            const bool *wants, pm_tensor *grad_in)
{
    uint32_t axis = PM_ATTR(concat_attr, node)->axis;
    uint32_t middle = pm_shape_of(graph, node->in[0]).dim[axis];
    uint32_t end = pm_shape_of(graph, node->out[0]).dim[axis];
    if (wants[0]) grad_in[0] = pm_slice(graph, grad_out[0], axis, 0, middle);
    if (wants[1]) grad_in[1] = pm_slice(graph, grad_out[0], axis, middle, end);
}

pm_tensor pm_concat(pm_graph *graph, pm_tensor a, pm_tensor b, uint32_t axis)
{
    concat_attr attr = {axis};
    return pm_emit(graph, &pm_op_concat, (pm_tensor[]){a, b}, 2, &attr, sizeof attr, NULL);
}

static pm_tensor case_concat(pm_graph *graph, const uint32_t *p)
{
    pm_shape a = PM_SHAPE(p[0], p[1], p[2]), b = a;
    b.dim[p[3]] = p[4];
    if (p[5]) {
        return pm_concat(graph, pm_case_indices(graph, "a", a, 1000), pm_case_indices(graph, "b", b, 1000),
                         p[3]);
    }
    pm_tensor left = pm_case_leaf(graph, "a", a, 1.0f);
    return pm_concat(graph, left, pm_case_leaf(graph, "b", b, 1.0f), p[3]);
}

static const pm_case cases_concat[] = {
    {.name = "channels", .build = case_concat, .p = {2, 5, 8, 2, 4}},
    {.name = "channels, odd", .build = case_concat, .p = {3, 3, 3, 2, 5}},
    {.name = "first axis", .build = case_concat, .p = {3, 3, 3, 0, 2}},
    {.name = "middle axis", .build = case_concat, .p = {4, 3, 8, 1, 1}},
    {.name = "several workgroups", .build = case_concat, .p = {53, 20, 32, 2, 16}, .no_gradient = true},
    {.name = "odd, several workgroups", .build = case_concat, .p = {20, 11, 7, 2, 4}},
    {.name = "whole tensors, several workgroups",
     .build = case_concat,
     .p = {90, 20, 4, 0, 80},
     .no_gradient = true},
    {.name = "integers", .build = case_concat, .p = {70, 15, 4, 1, 2, 1}, .no_gradient = true},
    {.name = "28x28, 32 and 32 channels", .build = case_concat, .p = {32, 784, 32, 2, 32}, .bench = true},
};

const pm_op pm_op_concat = {
    .name = "concat",
    .shape = shape_concat,
    .backward = backward_concat,
    .lower = lower_concat,
    .reference = reference_concat,
    PM_CASES(cases_concat),
};

static void shape_pad(pm_graph *graph, pm_node *node)
{
    const range_attr *attr = PM_ATTR(range_attr, node);
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_F32)) return;
    pm_shape shape = pm_shape_of(graph, node->in[0]);
    shape.dim[attr->axis] = attr->extent;
    pm_node_output(graph, node, PM_DTYPE_F32, shape);
}

static void lower_pad(pm_lowering *lowering, const pm_node *node)
{
    const range_attr *attr = PM_ATTR(range_attr, node);
    pm_shape shape = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t begin = attr->begin * (run_of(shape, attr->axis) / shape.dim[attr->axis]);
    lower_side_by_side(lowering, node->in[0], PM_NONE, node->out[0], attr->axis, begin);
}

static void reference_pad(const pm_reference *ref)
{
    const range_attr *attr = PM_ATTR(range_attr, ref->node);
    uint32_t x_row = run_of(ref->in[0].shape, attr->axis), y_row = run_of(ref->out[0].shape, attr->axis);
    uint32_t begin = attr->begin * (y_row / attr->extent);
    for (uint32_t i = 0; i < ref->out[0].count; i++) ref->out[0].f[i] = 0.0;
    for (uint32_t i = 0; i < ref->in[0].count; i++) {
        ref->out[0].f[place_in_row(i, begin, x_row, y_row)] = ref->in[0].f[i];
    }
}

pm_tensor pm_pad(pm_graph *graph, pm_tensor x, uint32_t axis, uint32_t begin, uint32_t extent)
{
    range_attr attr = {axis, begin, extent};
    return pm_emit(graph, &pm_op_pad, &x, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_pad(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2]), 1.0f);
    return pm_pad(graph, x, p[3], p[4], p[5]);
}

static const pm_case cases_pad[] = {
    {.name = "several workgroups", .build = case_pad, .p = {70, 10, 12, 2, 4, 20}, .no_gradient = true},
    {.name = "odd, several workgroups", .build = case_pad, .p = {50, 10, 3, 1, 3, 17}, .no_gradient = true},
    {.name = "28x28, 32 to 64 channels",
     .build = case_pad,
     .p = {32, 784, 32, 2, 0, 64},
     .no_gradient = true,
     .bench = true},
};

/* The gradient of slice: x where it was cut out, zeros elsewhere. The cases of slice are cases of it, too. */
const pm_op pm_op_pad = {
    .name = "pad",
    .shape = shape_pad,
    .lower = lower_pad,
    .reference = reference_pad,
    PM_CASES(cases_pad),
};
