// A strided view: the output's unit number, taken apart along its axes, gives a place in the input.
// runtime/ops/layout.c describes views and pushes PM_PUSH_VIEW.
#ifndef PUMICE_VIEW_GLSL
#define PUMICE_VIEW_GLSL

#include "slab.glsl"

layout(constant_id = 1) const uint VIEW_RANK = 5;

struct pm_view {
    uint first;            // where the view begins in the input
    uint stride[5];        // of the input along the output's axes
    pm_divisor extent[4]; // of the output's axes but the first
};

#define PM_PUSH_VIEW                                                                     \
    PM_PUSH_SLAB                                                                         \
    uint input_slab; /* units of the input that one slab covers; 0: it is bound whole */ \
    pm_view view;

// The view with its beginning in the binding; copied before a loop, like any divisor.
#define PM_VIEW_HERE pm_view(p.view.first - p.base * p.input_slab, p.view.stride, p.view.extent)

// Takes the last axis off the unit number `rest`.
void pm_view_axis(inout uint place, inout uint rest, pm_divisor extent, uint stride)
{
    uint outer = pm_quotient(rest, extent);
    place += (rest - outer * extent.n) * stride;
    rest = outer;
}

// Where the unit is that output unit i (in the whole output) is made of. Not a loop: drivers keep its arrays
// in memory.
uint pm_view_place(pm_view view, uint i)
{
    uint place = view.first;
    if (VIEW_RANK > 4) pm_view_axis(place, i, view.extent[3], view.stride[4]);
    if (VIEW_RANK > 3) pm_view_axis(place, i, view.extent[2], view.stride[3]);
    if (VIEW_RANK > 2) pm_view_axis(place, i, view.extent[1], view.stride[2]);
    if (VIEW_RANK > 1) pm_view_axis(place, i, view.extent[0], view.stride[1]);
    return place + i * view.stride[0];
}

#endif
