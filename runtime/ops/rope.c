/* Rotary position embedding (RoFormer, 2104.09864): pairs of channels of a head are turned by an angle that
 * grows with the position. The gradient is the same operator, turning the other way. */
#include "base/checked.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/slab.h"
#include "ops/table.h"

#include <math.h>
#include <stdlib.h>

enum { IN_X, IN_TABLE, IN_FIRST, N_IN };
enum { FEW = 1 << 14 }; /* elements, of which two tensors are worth one dispatch */

typedef struct rope_attr {
    uint32_t heads;
    pm_rope_pairs pairs;
    float sign; /* of the angle: 1, or -1 in the gradient */
} rope_attr;

/* ---- Table --------------------------------------------------------------------------------------------- */

pm_tensor pm_rope_table(pm_graph *graph, const char *name, uint32_t positions, uint32_t head_width,
                        float theta)
{
    if (!pm_ok(graph)) return PM_NONE;
    size_t count = 0;
    if (head_width == 0 || head_width % 2 != 0 || positions == 0 ||
        !pm_mul_size(positions, head_width, &count) || count > INT32_MAX || !(theta > 0.0f) ||
        !isfinite(theta)) {
        pm_graph_fail(
            graph, PM_BAD_USAGE,
            "rope_table: %u positions of width %u, theta %g; the width must be even, theta positive",
            positions, head_width, (double)theta);
        return PM_NONE;
    }
    float *table = malloc(count * sizeof *table);
    if (!table) {
        pm_graph_fail(graph, PM_NO_MEMORY, "rope_table: out of host memory");
        return PM_NONE;
    }
    uint32_t half = head_width / 2;
    for (uint32_t i = 0; i < half; i++) {
        double frequency = pow((double)theta, -2.0 * i / head_width);
        for (uint32_t t = 0; t < positions; t++) {
            table[(size_t)t * head_width + i] = (float)cos(t * frequency);
            table[(size_t)t * head_width + half + i] = (float)sin(t * frequency);
        }
    }
    pm_tensor result = pm_constant(graph, name, PM_DTYPE_F32, PM_SHAPE(positions, head_width), table);
    free(table);
    return result;
}

/* ---- Operator ------------------------------------------------------------------------------------------ */

static void shape_rope(pm_graph *graph, pm_node *node)
{
    const rope_attr *attr = PM_ATTR(rope_attr, node);
    char a[64], b[64];
    if (!pm_check_operand(graph, node, IN_X, PM_DTYPE_F32)) return;
    if (!pm_check_operand(graph, node, IN_TABLE, PM_DTYPE_F32)) return;
    if (pm_is(node->in[IN_FIRST])) {
        if (!pm_check_operand(graph, node, IN_FIRST, PM_DTYPE_U32)) return;
        if (pm_count_of(graph, node->in[IN_FIRST]) != 1) {
            pm_graph_fail(graph, PM_BAD_USAGE, "rope: first must be u32 [1]");
            return;
        }
    }
    pm_shape x = pm_shape_of(graph, node->in[IN_X]), table = pm_shape_of(graph, node->in[IN_TABLE]);
    bool fits = x.rank == 3 && table.rank == 2 && table.dim[1] % 2 == 0 && attr->heads &&
                x.dim[2] % attr->heads == 0 && x.dim[2] / attr->heads == table.dim[1] &&
                (attr->pairs == PM_ROPE_HALVES || attr->pairs == PM_ROPE_NEIGHBOURS);
    if (!fits) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "rope: x %s with %u heads and a table %s; they must be [B,T,heads D] and [positions,D] "
                      "with D even, and pairs PM_ROPE_HALVES or PM_ROPE_NEIGHBOURS",
                      pm_shape_text(x, a), attr->heads, pm_shape_text(table, b));
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_F32, x);
}

/* `other` is a second node whose tensor has the same shape and is turned in the same way, or the same. */
static void append(pm_lowering *lowering, const pm_node *node, const pm_node *other)
{
    const rope_attr *attr = PM_ATTR(rope_attr, node);
    pm_shape x = pm_shape_of(lowering->graph, node->in[IN_X]);
    uint32_t head_width = x.dim[2] / attr->heads, rows = x.dim[0] * x.dim[1];
    bool quads = head_width % 8 == 0, has_first = pm_is(node->in[IN_FIRST]);
    /* A unit is four pairs. */
    uint32_t head_units = pm_ceil_div(head_width, 8), row_units = attr->heads * head_units;
    uint32_t turns = pm_ceil_div(pm_slab_turns(lowering), 2);
    pm_slab slab = pm_slab_of(lowering, rows, row_units, turns);

    pm_dispatch *d = pm_dispatch_begin(lowering, quads ? "rope" : "rope_ragged", lowering->rules->lanes);
    pm_spec(d, attr->pairs == PM_ROPE_NEIGHBOURS);
    pm_spec(d, has_first);
    pm_spec(d, other != node);
    pm_push_slab(d, &slab, rows * row_units);
    pm_push_divisor(d, row_units);
    pm_push_divisor(d, head_units);
    pm_push_divisor(d, x.dim[1]);
    pm_push_u32(d, x.dim[2]);
    pm_push_u32(d, head_width);
    pm_push_u32(d, pm_shape_of(lowering->graph, node->in[IN_TABLE]).dim[0]);
    pm_push_f32(d, attr->sign);
    pm_bind_in(d, node->in[IN_X], quads ? 4 : 1, pm_slab_stride(&slab, x.dim[2]));
    pm_bind_in(d, node->in[IN_TABLE], quads ? 4 : 1, 0);
    pm_bind_in(d, has_first ? node->in[IN_FIRST] : pm_scratch(lowering, PM_DTYPE_U32, 1), 1, 0);
    pm_bind_out(d, node->out[0], pm_slab_stride(&slab, x.dim[2]));
    pm_bind_in(d, other->in[IN_X], quads ? 4 : 1, pm_slab_stride(&slab, x.dim[2]));
    pm_bind_out(d, other->out[0], pm_slab_stride(&slab, x.dim[2]));
    pm_slab_groups(d, &slab);
    if (other != node) d->groups[2] = 2;
}

static void lower_rope(pm_lowering *lowering, const pm_node *node)
{
    append(lowering, node, node);
}

static bool joins(const pm_lowering *lowering, const pm_node *first, const pm_node *other)
{
    const pm_graph *graph = lowering->graph;
    const rope_attr *a = PM_ATTR(rope_attr, first), *b = PM_ATTR(rope_attr, other);
    bool alike = a->heads == b->heads && a->pairs == b->pairs && a->sign == b->sign &&
                 pm_shape_equal(pm_shape_of(graph, first->in[IN_X]), pm_shape_of(graph, other->in[IN_X]));
    for (uint32_t i = IN_TABLE; i <= IN_FIRST; i++) alike &= pm_same_place(graph, first->in[i], other->in[i]);
    return pm_on(lowering->rules, PM_JOINED_CACHES) && alike && pm_count_of(graph, first->in[IN_X]) <= FEW;
}

static bool lower_joined(pm_lowering *lowering, const pm_node *const *nodes, uint32_t count)
{
    if (count != 2) return false;
    append(lowering, nodes[0], nodes[1]);
    return pm_dispatch_stays(lowering);
}

static void reference_rope(const pm_reference *ref)
{
    const rope_attr *attr = PM_ATTR(rope_attr, ref->node);
    pm_shape x = ref->in[IN_X].shape;
    uint32_t width = x.dim[2] / attr->heads, half = width / 2, last = ref->in[IN_TABLE].shape.dim[0] - 1;
    uint64_t first = ref->in[IN_FIRST].count ? ref->in[IN_FIRST].u[0] : 0;
    bool neighbours = attr->pairs == PM_ROPE_NEIGHBOURS;
    for (uint32_t head = 0; head < x.dim[0] * x.dim[1] * attr->heads; head++) {
        uint64_t position = first + head / attr->heads % x.dim[1];
        const double *row = ref->in[IN_TABLE].f + (position < last ? position : last) * width;
        const double *from = ref->in[IN_X].f + head * width;
        double *to = ref->out[0].f + head * width;
        for (uint32_t i = 0; i < half; i++) {
            uint32_t a = neighbours ? 2 * i : i, b = neighbours ? 2 * i + 1 : i + half;
            double cosine = row[i], sine = row[half + i] * (double)attr->sign;
            to[a] = from[a] * cosine - from[b] * sine;
            to[b] = from[a] * sine + from[b] * cosine;
        }
    }
}

static void backward_rope(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                          pm_tensor *grad_in)
{
    if (!wants[IN_X]) return;
    rope_attr attr = *PM_ATTR(rope_attr, node);
    attr.sign = -attr.sign;
    pm_tensor in[] = {grad_out[0], node->in[IN_TABLE], node->in[IN_FIRST]};
    grad_in[IN_X] = pm_emit(graph, &pm_op_rope, in, N_IN, &attr, sizeof attr, NULL);
}

/* ---- Cases --------------------------------------------------------------------------------------------- */

/* p: batch, rows, heads, width of a head, pairs, positions in the table, first position + 1 (0: none). */
static pm_tensor case_rope(pm_graph *graph, const uint32_t *p)
{
    uint32_t position = p[6] - 1;
    pm_tensor first = p[6] ? pm_constant(graph, "first", PM_DTYPE_U32, PM_SHAPE(1), &position) : PM_NONE;
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2] * p[3]), 1.5f);
    return pm_rope(graph, x, pm_rope_table(graph, "table", p[5], p[3], 100.0f), p[2], (pm_rope_pairs)p[4],
                   first);
}

static const pm_case cases_rope[] = {
    {.name = "halves", .build = case_rope, .p = {2, 7, 3, 8, PM_ROPE_HALVES, 7}},
    {.name = "neighbours", .build = case_rope, .p = {2, 5, 2, 16, PM_ROPE_NEIGHBOURS, 9}},
    {.name = "halves, odd head", .build = case_rope, .p = {3, 5, 3, 6, PM_ROPE_HALVES, 5}},
    {.name = "neighbours, odd head, first",
     .build = case_rope,
     .p = {1, 5, 3, 10, PM_ROPE_NEIGHBOURS, 20, 8}},
    {.name = "first, past the table", .build = case_rope, .p = {2, 6, 1, 8, PM_ROPE_HALVES, 9, 7}},
    {.name = "first beyond everything",
     .build = case_rope,
     .p = {1, 3, 1, 2, PM_ROPE_HALVES, 4, 0xffffffffu}},
    {.name = "several workgroups", .build = case_rope, .p = {3, 301, 2, 8, PM_ROPE_NEIGHBOURS, 301}},
    {.name = "16x256, 4 heads of 32",
     .build = case_rope,
     .p = {16, 256, 4, 32, PM_ROPE_HALVES, 256},
     .bench = true},
};

const pm_op pm_op_rope = {
    .name = "rope",
    .shape = shape_rope,
    .backward = backward_rope,
    .lower = lower_rope,
    .joins = joins,
    .lower_joined = lower_joined,
    .reference = reference_rope,
    PM_CASES(cases_rope),
};

pm_tensor pm_rope(pm_graph *graph, pm_tensor x, pm_tensor table, uint32_t heads, pm_rope_pairs pairs,
                  pm_tensor first)
{
    rope_attr attr = {heads, pairs, 1.0f};
    return pm_emit(graph, &pm_op_rope, (pm_tensor[]){x, table, first}, N_IN, &attr, sizeof attr, NULL);
}
