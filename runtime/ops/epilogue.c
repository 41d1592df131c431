/* See epilogue.h. */
#include "ops/epilogue.h"

#include "ops/elementwise.h"
#include "ops/flat.h"

static uint32_t count_of(const pm_addend *addend)
{
    return addend->outer * addend->repeat * addend->inner;
}

static bool any(const pm_addend *addends, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++) {
        if (pm_is(addends[i].x)) return true;
    }
    return false;
}

uint32_t pm_addends_inside(const pm_lowering *lowering, const pm_addend *addends, uint32_t count)
{
    uint32_t inside = 0;
    while (inside < count && (!pm_is(addends[inside].x) || pm_on(lowering->rules, addends[inside].feature)))
        inside++;
    return inside;
}

pm_tensor pm_addends_begin(pm_lowering *lowering, const pm_addend *addends, uint32_t inside, uint32_t count,
                           pm_tensor out)
{
    if (!any(addends, inside, count)) return out;
    return pm_scratch(lowering, PM_DTYPE_F32, count_of(&addends[inside]));
}

static void lower_add(pm_lowering *lowering, pm_tensor a, pm_tensor b, uint32_t count, pm_tensor out)
{
    uint32_t stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "binary", lowering->rules->lanes);
    pm_spec(d, false); /* add */
    pm_push_u32(d, count);
    pm_bind_in(d, a, 4, stride);
    pm_bind_in(d, b, 4, stride);
    pm_bind_out(d, out, stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, count);
}

/* The addend, as many times as the output wants it. */
static pm_tensor repeated(pm_lowering *lowering, const pm_addend *addend)
{
    if (addend->repeat == 1) return addend->x;
    pm_strided view = {
        .rank = 3, .extent = {addend->outer, addend->repeat, addend->inner}, .stride = {addend->inner, 0, 1}};
    pm_tensor all = pm_scratch(lowering, PM_DTYPE_F32, count_of(addend));
    pm_lower_gather(lowering, addend->x, all, view, 1.0f);
    return all;
}

void pm_lower_addends(pm_lowering *lowering, pm_tensor from, const pm_addend *addends, uint32_t inside,
                      uint32_t count, pm_tensor out)
{
    for (uint32_t i = inside; i < count; i++) {
        if (!pm_is(addends[i].x)) continue;
        bool last = !any(addends, i + 1, count);
        pm_tensor to = last ? out : pm_scratch(lowering, PM_DTYPE_F32, count_of(&addends[i]));
        lower_add(lowering, from, repeated(lowering, &addends[i]), count_of(&addends[i]), to);
        from = to;
    }
}

/* ---- What is absorbed ---------------------------------------------------------------------------------- */

bool pm_gate_see_through(pm_gate_rows *gate, const pm_strided *view, uint32_t n)
{
    uint32_t last = view->rank - 1, extent[2] = {1, 1}, stride[2] = {0}, axes = 0;
    if (view->extent[last] != n || view->stride[last] != 1 || !pm_is_quads(view->first)) return false;
    for (uint32_t axis = 0; axis < last; axis++) {
        if (view->extent[axis] == 1) continue;
        if (axes == 2 || !pm_is_quads(view->stride[axis])) return false;
        extent[axes] = view->extent[axis];
        stride[axes++] = view->stride[axis];
    }
    if (axes == 2 && stride[0] == extent[1] * stride[1]) { /* they run on into each other */
        stride[0] = stride[1];
        axes = 1;
    }
    pm_gate_rows dense = pm_gate_dense(n);
    bool by_samples = gate->first == 0 && gate->sample == n && gate->row == 0;
    if (axes == 2 && by_samples && gate->rows == dense.rows) {
        *gate = (pm_gate_rows){view->first, extent[1], stride[0], stride[1]};
    } else if (axes == 1 && by_samples) {
        *gate = (pm_gate_rows){view->first, gate->rows, stride[0], 0};
    } else if (axes == 0) { /* all read the same row */
        *gate = (pm_gate_rows){.first = view->first, .rows = 1};
    } else {
        return false;
    }
    return true;
}

/* The operand beside y. */
static pm_tensor other_of(const pm_graph *graph, const pm_node *reader, pm_tensor y)
{
    return reader->in[pm_info(graph, reader->in[0])->base == pm_info(graph, y)->base ? 1 : 0];
}

pm_follower pm_follower_of(const pm_lowering *lowering, const pm_node *reader, pm_tensor y, uint64_t rounds)
{
    enum { MOST_OF_TILE = 256 }; /* rounds of the activation's own loop: a driver may count all together */
    const pm_rules *rules = lowering->rules;
    pm_follower follower = {0};
    if (pm_activation_of(reader) && pm_on(rules, PM_ACTIVATION_EPILOGUE)) {
        if (rounds + MOST_OF_TILE <= rules->most_rounds) follower.activation = pm_activation_of(reader);
    } else if (pm_multiplies(reader) && pm_on(rules, PM_GATE_EPILOGUE)) {
        follower.factor = other_of(lowering->graph, reader, y);
    } else if (pm_adds(reader) && pm_on(rules, PM_RESIDUAL_EPILOGUE)) {
        follower.addend = other_of(lowering->graph, reader, y);
    }
    return follower;
}

void pm_spec_epilogue(pm_dispatch *dispatch, bool residual, bool gate, uint32_t activation)
{
    enum { RESIDUAL = 1, GATE = 2, ACTIVATION = 4 };
    pm_spec(dispatch, (residual ? RESIDUAL : 0u) | (gate ? GATE : 0u) | activation * ACTIVATION);
}
