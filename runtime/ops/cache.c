/* Writes keys or values of new positions into a cache, at a position known at run time. */
#include "base/checked.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/slab.h"
#include "ops/table.h"

enum { IN_CACHE, IN_ROWS, IN_FIRST, N_IN };

static void shape_cache_write(pm_graph *graph, pm_node *node)
{
    char a[64], b[64];
    if (!pm_check_operand(graph, node, IN_CACHE, PM_DTYPE_F32)) return;
    if (!pm_check_operand(graph, node, IN_ROWS, PM_DTYPE_F32)) return;
    if (!pm_check_operand(graph, node, IN_FIRST, PM_DTYPE_U32)) return;
    pm_tensor state = node->in[IN_CACHE];
    pm_shape cache = pm_shape_of(graph, state), rows = pm_shape_of(graph, node->in[IN_ROWS]);
    bool fits = pm_info(graph, state)->kind == PM_KIND_STATE && cache.rank == 3 && rows.rank == 3 &&
                cache.dim[0] == rows.dim[0] && cache.dim[2] == rows.dim[2] &&
                pm_count_of(graph, node->in[IN_FIRST]) == 1;
    if (!fits) {
        pm_graph_fail(
            graph, PM_BAD_USAGE,
            "cache_write: rows %s into a cache %s; they must be [B,T,C] and a state [B,Tmax,C], and "
            "first u32 [1]",
            pm_shape_text(rows, a), pm_shape_text(cache, b));
    }
}

static uint32_t sample_stride(pm_shape shape)
{
    uint64_t bytes = (uint64_t)shape.dim[1] * shape.dim[2] * 4;
    return shape.dim[0] > 1 && bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

/* The split axis is the samples': where in its sample a row goes is known to the device alone. `other` is a
 * second node for rows of the same shape and position, or the same node. */
static void append(pm_lowering *lowering, const pm_node *node, const pm_node *other)
{
    pm_shape cache = pm_shape_of(lowering->graph, node->in[IN_CACHE]);
    pm_shape rows = pm_shape_of(lowering->graph, node->in[IN_ROWS]);
    bool quads = pm_is_quads(rows.dim[2]), two = other != node;
    uint32_t row_units = pm_ceil_div(rows.dim[2], 4), units = rows.dim[1] * row_units;
    uint32_t lanes = lowering->rules->lanes, groups = pm_ceil_div(units, lanes * pm_slab_turns(lowering));
    if (groups > 32768) groups = 32768;
    pm_dispatch *d = pm_dispatch_begin(lowering, quads ? "cache_write" : "cache_write_ragged", lanes);
    pm_spec(d, two);
    pm_push_u32(d, units);
    pm_push_u32(d, pm_ceil_div(units, groups));
    pm_push_u32(d, rows.dim[1]);
    pm_push_u32(d, cache.dim[1]);
    pm_push_u32(d, rows.dim[2]);
    pm_push_divisor(d, row_units);
    pm_bind_in(d, node->in[IN_ROWS], quads ? 4 : 1, sample_stride(rows));
    pm_bind_in(d, node->in[IN_FIRST], 1, 0);
    pm_bind_update(d, node->in[IN_CACHE], sample_stride(cache));
    pm_bind_in(d, other->in[IN_ROWS], quads ? 4 : 1, sample_stride(rows));
    pm_bind_update(d, other->in[IN_CACHE], sample_stride(cache));
    pm_groups(d, groups, two ? 2 : 1, rows.dim[0], 2, 0);
}

static void lower_cache_write(pm_lowering *lowering, const pm_node *node)
{
    append(lowering, node, node);
}

static bool joins(const pm_lowering *lowering, const pm_node *first, const pm_node *other)
{
    const pm_graph *graph = lowering->graph;
    for (uint32_t i = IN_CACHE; i <= IN_ROWS; i++) {
        if (!pm_shape_equal(pm_shape_of(graph, first->in[i]), pm_shape_of(graph, other->in[i]))) return false;
    }
    return pm_on(lowering->rules, PM_JOINED_CACHES) &&
           pm_same_place(graph, first->in[IN_FIRST], other->in[IN_FIRST]);
}

static bool lower_joined(pm_lowering *lowering, const pm_node *const *nodes, uint32_t count)
{
    if (count != 2) return false;
    append(lowering, nodes[0], nodes[1]);
    return pm_dispatch_stays(lowering);
}

static void reference_cache_write(const pm_reference *ref)
{
    pm_shape cache = ref->in[IN_CACHE].shape, rows = ref->in[IN_ROWS].shape;
    uint32_t width = rows.dim[2];
    for (uint32_t row = 0; row < rows.dim[0] * rows.dim[1]; row++) {
        uint64_t position = (uint64_t)ref->in[IN_FIRST].u[0] + row % rows.dim[1];
        if (position >= cache.dim[1]) continue;
        double *to = ref->in[IN_CACHE].f + (row / rows.dim[1] * cache.dim[1] + position) * width;
        for (uint32_t c = 0; c < width; c++) to[c] = ref->in[IN_ROWS].f[row * width + c];
    }
}

/* p: batch, rows, positions of the cache, width, first position. */
static pm_tensor case_cache_write(pm_graph *graph, const uint32_t *p)
{
    pm_tensor cache = pm_state(graph, "cache", PM_DTYPE_F32, PM_SHAPE(p[0], p[2], p[3]));
    pm_tensor first = pm_constant(graph, "first", PM_DTYPE_U32, PM_SHAPE(1), &p[4]);
    pm_tensor rows = pm_case_leaf(graph, "rows", PM_SHAPE(p[0], p[1], p[3]), 1.0f);
    return pm_affine(graph, pm_cache_write(graph, cache, rows, first), 2.0f, 0.5f);
}

static const pm_case cases_cache_write[] = {
    {.name = "in the middle", .build = case_cache_write, .p = {2, 3, 7, 8, 2}, .no_gradient = true},
    {.name = "odd width", .build = case_cache_write, .p = {3, 2, 5, 3, 1}, .no_gradient = true},
    {.name = "over the end", .build = case_cache_write, .p = {2, 4, 6, 4, 4}, .no_gradient = true},
    {.name = "beyond everything",
     .build = case_cache_write,
     .p = {2, 4, 6, 5, 0xfffffffeu},
     .no_gradient = true},
    {.name = "more rows than the cache holds",
     .build = case_cache_write,
     .p = {2, 9, 4, 4, 0},
     .no_gradient = true},
    {.name = "several workgroups",
     .build = case_cache_write,
     .p = {2, 300, 400, 36, 77},
     .no_gradient = true},
    {.name = "16x256 of 256",
     .build = case_cache_write,
     .p = {16, 256, 256, 256, 0},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_cache_write = {
    .name = "cache_write",
    .updates = 1u << IN_CACHE,
    .shape = shape_cache_write,
    .lower = lower_cache_write,
    .joins = joins,
    .lower_joined = lower_joined,
    .reference = reference_cache_write,
    PM_CASES(cases_cache_write),
};

pm_tensor pm_cache_write(pm_graph *graph, pm_tensor cache, pm_tensor rows, pm_tensor first)
{
    (void)pm_emit(graph, &pm_op_cache_write, (pm_tensor[]){cache, rows, first}, N_IN, NULL, 0, NULL);
    return cache;
}
