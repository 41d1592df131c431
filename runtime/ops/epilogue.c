/* See epilogue.h. */
#include "ops/epilogue.h"

#include "ops/flat.h"
#include "ops/layout.h"

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
