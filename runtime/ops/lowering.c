/* How dispatch rules write down what they want. */
#include "ops/op.h"

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
    dispatch->bind[dispatch->n_bind++] = (pm_binding){tensor, access, width, stride};
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

void pm_groups(pm_dispatch *dispatch, uint32_t x, uint32_t y, uint32_t z, uint32_t split_axis, double flops)
{
    dispatch->groups[0] = x;
    dispatch->groups[1] = y;
    dispatch->groups[2] = z;
    dispatch->split_axis = split_axis;
    dispatch->flops = flops;
}

pm_tensor pm_scratch(pm_lowering *lowering, pm_dtype dtype, uint32_t count)
{
    return pm_new_temp(lowering->graph, dtype, PM_SHAPE(count));
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
