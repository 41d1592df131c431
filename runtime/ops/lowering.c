/* How dispatch rules write down what they want. */
#include "ops/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

pm_dispatch *pm_dispatch_begin(pm_lowering *lowering, const char *shader, uint32_t lanes)
{
    static pm_dispatch spare; /* written by everybody after a failure, read by nobody */
    if (lowering->count == lowering->capacity) {
        uint32_t larger = lowering->capacity ? lowering->capacity * 2 : 256;
        pm_dispatch *moved = realloc(lowering->dispatches, larger * sizeof *moved);
        if (!moved) {
            lowering->failed = true;
            memset(&spare, 0, sizeof spare);
            return &spare;
        }
        lowering->dispatches = moved;
        lowering->capacity = larger;
    }
    pm_dispatch *dispatch = &lowering->dispatches[lowering->count++];
    memset(dispatch, 0, sizeof *dispatch);
    dispatch->shader = shader;
    dispatch->node = lowering->node;
    dispatch->absorbed = lowering->absorbed;
    pm_spec(dispatch, lanes);
    pm_push_u32(dispatch, 0); /* base */
    return dispatch;
}

void pm_spec(pm_dispatch *dispatch, uint32_t value)
{
    if (dispatch->n_spec < PM_MAX_SPEC) dispatch->spec[dispatch->n_spec++] = value;
}

void pm_push_u32(pm_dispatch *dispatch, uint32_t value)
{
    if (dispatch->n_push < PM_MAX_PUSH) dispatch->push[dispatch->n_push++] = value;
}

void pm_push_f32(pm_dispatch *dispatch, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    pm_push_u32(dispatch, bits);
}

static void bind(pm_dispatch *dispatch, pm_tensor tensor, pm_access access, uint32_t width, uint32_t stride)
{
    if (dispatch->n_bind == PM_MAX_BINDINGS) return;
    dispatch->bind[dispatch->n_bind++] =
        (pm_binding){.tensor = tensor, .access = access, .width = width, .stride = stride};
}

void pm_bind_in(pm_dispatch *dispatch, pm_tensor tensor, uint32_t width, uint32_t stride)
{
    bind(dispatch, tensor, PM_READ, width, stride);
}

void pm_bind_out(pm_dispatch *dispatch, pm_tensor tensor, uint32_t stride)
{
    bind(dispatch, tensor, PM_WRITE, 0, stride);
}

void pm_bind_update(pm_dispatch *dispatch, pm_tensor tensor, uint32_t stride)
{
    bind(dispatch, tensor, PM_UPDATE, 0, stride);
}

void pm_bind_halo(pm_dispatch *dispatch, uint32_t bytes)
{
    dispatch->bind[dispatch->n_bind - 1].halo = bytes;
}

void pm_groups(pm_dispatch *dispatch, uint32_t x, uint32_t y, uint32_t z, uint32_t split_axis, double flops)
{
    dispatch->groups[0] = x;
    dispatch->groups[1] = y;
    dispatch->groups[2] = z;
    dispatch->split_axis = split_axis;
    dispatch->flops = flops;
}

bool pm_rounds_fit(pm_lowering *lowering, const char *op, const char *what, uint64_t rounds)
{
    if (rounds <= lowering->rules->most_rounds) return true;
    pm_graph_fail(lowering->graph, PM_BAD_USAGE,
                  "%s: %s make a kernel loop %llu times, and this device's driver ends loops after %u: use "
                  "smaller ones, or another device",
                  op, what, (unsigned long long)rounds, lowering->rules->most_rounds);
    return false;
}

pm_tensor pm_scratch(pm_lowering *lowering, pm_dtype dtype, uint32_t count)
{
    return pm_new_temp(lowering->graph, dtype, PM_SHAPE(count));
}

/* ---- Operands above the device's range ----------------------------------------------------------------- */

uint64_t pm_reach(const pm_lowering *lowering, uint32_t width)
{
    if (width == 0) return lowering->storage_range;
    return width == 4 ? lowering->input4_range : lowering->input_range;
}

bool pm_fits_whole(const pm_lowering *lowering, pm_tensor tensor, uint32_t width)
{
    return pm_bytes_of(lowering->graph, tensor) <= pm_reach(lowering, width);
}

/* Pieces begin at multiples of this many workgroups: so many bytes of each operand are a multiple of
 * PM_BIND_ALIGN. That is a power of two, and so are these; the largest serves all. */
static uint64_t granule_of(const pm_dispatch *dispatch)
{
    uint64_t granule = 1;
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        while (dispatch->bind[b].stride * granule % PM_BIND_ALIGN) granule *= 2;
    }
    return granule;
}

static bool fits(const pm_lowering *lowering, const pm_dispatch *dispatch)
{
    uint64_t granule = granule_of(dispatch);
    for (uint32_t b = 0; b < dispatch->n_bind; b++) {
        const pm_binding *binding = &dispatch->bind[b];
        uint32_t width = binding->access == PM_READ ? binding->width : 0;
        if (pm_fits_whole(lowering, binding->tensor, width)) continue;
        uint64_t least = granule * binding->stride + binding->halo;
        if (binding->stride == 0 || least > pm_reach(lowering, width)) return false;
    }
    return true;
}

bool pm_dispatch_stays(pm_lowering *lowering)
{
    if (lowering->failed || fits(lowering, &lowering->dispatches[lowering->count - 1])) return true;
    lowering->count--;
    return false;
}

pm_tensor pm_part(pm_lowering *lowering, pm_tensor tensor, uint64_t begin, uint64_t end, uint32_t *skip)
{
    size_t size = pm_dtype_size(pm_dtype_of(lowering->graph, tensor));
    uint64_t aligned = begin / PM_BIND_ALIGN * PM_BIND_ALIGN;
    *skip = (uint32_t)(begin - aligned);
    if (aligned == 0 && end == pm_bytes_of(lowering->graph, tensor)) return tensor;
    return pm_view(lowering->graph, tensor, aligned, PM_SHAPE((uint32_t)((end - aligned) / size)));
}

static void bind_window(pm_window *window)
{
    uint32_t skip; /* windows begin where a binding can */
    if (!pm_window_is(window)) return;
    window->end = window->bytes - window->begin < window->most ? window->bytes : window->begin + window->most;
    window->tensor = pm_part(window->lowering, window->whole, window->begin, window->end, &skip);
}

pm_window pm_window_all(pm_lowering *lowering, pm_tensor tensor)
{
    uint64_t bytes = pm_bytes_of(lowering->graph, tensor);
    return (pm_window){.lowering = lowering, .whole = tensor, .tensor = tensor, .end = bytes, .bytes = bytes};
}

pm_window pm_window_first(pm_lowering *lowering, pm_tensor tensor, uint32_t width)
{
    pm_window window = {.lowering = lowering,
                        .whole = tensor,
                        .bytes = pm_bytes_of(lowering->graph, tensor),
                        .most = pm_reach(lowering, width)};
    bind_window(&window);
    return window;
}

bool pm_window_is(const pm_window *window)
{
    return window->begin < window->bytes;
}

void pm_window_next(pm_window *window)
{
    window->begin = window->end;
    bind_window(window);
}

void pm_spec_window(pm_dispatch *dispatch, const pm_window *window)
{
    enum { NONE = 0, FIRST = 1, LATER = 2 }; /* of shaders/include/window.glsl */
    bool all = window->begin == 0 && window->end == window->bytes;
    pm_spec(dispatch, all ? NONE : window->begin == 0 ? FIRST : LATER);
}

void pm_push_window(pm_dispatch *dispatch, const pm_window *window, uint32_t unit)
{
    pm_push_u32(dispatch, (uint32_t)(window->begin / unit));
    pm_push_u32(dispatch, (uint32_t)((window->end - window->begin + unit - 1) / unit));
}

pm_tensor *pm_node_tensor(pm_node *node, uint32_t bit)
{
    return bit < PM_MAX_INPUTS ? &node->in[bit] : &node->out[bit - PM_MAX_INPUTS];
}

enum { BITS = PM_MAX_INPUTS + PM_MAX_OUTPUTS };

/* Rows of a block: all n, or a multiple of 64, so that each block begins where it can be bound. */
static uint32_t rows_of_block(const pm_lowering *lowering, pm_node node, uint32_t n, uint32_t whole,
                              uint64_t scratch)
{
    uint64_t reach = pm_reach(lowering, 1), most = scratch; /* most: bytes of a row */
    if (reach > pm_reach(lowering, 0)) reach = pm_reach(lowering, 0);
    for (uint32_t bit = 0; bit < BITS; bit++) {
        if (!(whole >> bit & 1u) || !pm_is(*pm_node_tensor(&node, bit))) continue;
        uint64_t bytes = pm_bytes_of(lowering->graph, *pm_node_tensor(&node, bit)) / n;
        if (bytes > most) most = bytes;
    }
    if (most * n <= reach) return n;
    uint64_t block = reach / most / 64 * 64;
    return block < 64 ? 64 : (uint32_t)block;
}

/* The node, of `count` of its n rows. What has several numbers on axis 0 for each row is cut in
 * proportion. */
static pm_node block_of(pm_graph *graph, const pm_node *node, uint32_t rows, uint32_t n, uint32_t first,
                        uint32_t count)
{
    pm_node block = *node;
    for (uint32_t bit = 0; bit < BITS; bit++) {
        pm_tensor *tensor = pm_node_tensor(&block, bit);
        if (!(rows >> bit & 1u) || !pm_is(*tensor)) continue;
        pm_shape shape = pm_shape_of(graph, *tensor);
        uint64_t row_bytes = pm_bytes_of(graph, *tensor) / n;
        shape.dim[0] = shape.dim[0] / n * count;
        *tensor = pm_view(graph, *tensor, row_bytes * first, shape);
    }
    return block;
}

void pm_lower_by_rows(pm_lowering *lowering, const pm_node *node, uint32_t rows, uint32_t whole,
                      uint64_t scratch, void (*lower)(pm_lowering *lowering, const pm_node *node))
{
    uint32_t n = pm_shape_of(lowering->graph, node->in[0]).dim[0];
    pm_lower_by_blocks(lowering, node, rows, rows_of_block(lowering, *node, n, whole, scratch), lower);
}

void pm_lower_by_blocks(pm_lowering *lowering, const pm_node *node, uint32_t rows, uint32_t block,
                        void (*lower)(pm_lowering *lowering, const pm_node *node))
{
    uint32_t n = pm_shape_of(lowering->graph, node->in[0]).dim[0];
    for (uint32_t first = 0; first < n; first += block) {
        uint32_t count = n - first < block ? n - first : block;
        pm_node part = count < n ? block_of(lowering->graph, node, rows, n, first, count) : *node;
        lowering->first_row = first;
        lower(lowering, &part);
    }
    lowering->first_row = 0;
}

const pm_half_format pm_f16 = {0x1p-10, 0x1p-14}, pm_bf16 = {0x1p-7, 0x1p-126};

double pm_half_rounding(const pm_half_format *format, double x)
{
    return fabs(x) < format->least ? fabs(x) : fabs(x) * format->share;
}

pm_tensor pm_case_leaf(pm_graph *graph, const char *name, pm_shape shape, float scale)
{
    return pm_param(graph, name, shape, (pm_init){PM_INIT_UNIFORM, scale});
}

pm_tensor pm_case_indices(pm_graph *graph, const char *name, pm_shape shape, uint32_t n)
{
    uint32_t count = pm_shape_count(shape), state = 12345u + count * 977u;
    uint32_t *values = malloc(count * sizeof *values);
    if (!values) {
        pm_graph_fail(graph, PM_NO_MEMORY, "%s: out of host memory", name);
        return PM_NONE;
    }
    for (uint32_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (state >> 8) % n;
    }
    pm_tensor tensor = pm_constant(graph, name, PM_DTYPE_U32, shape, values);
    free(values);
    return tensor;
}
