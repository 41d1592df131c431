// y[i] = x[view(i)], or a multiple of it: what gather.comp and its variants are.
#define PM_WINDOW_ID 3
#include "view.glsl"
#include "window.glsl"

layout(constant_id = 2) const bool SCALED = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_VIEW
    float scale;
    PM_PUSH_WINDOW
} p;

PM_INPUT_UNIT(0, x)
PM_OUTPUT_UNIT(1, y);

void main()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE;
    pm_view view = PM_VIEW_HERE;
    PM_EACH_UNIT(i)
    {
        uint place = pm_view_place(view, first + i);
        if (IN_WINDOWS && !PM_IN_WINDOW(place)) continue;
        PM_UNIT v = x(PM_WINDOW_AT(place));
#ifndef PM_INTEGER
        if (SCALED) v *= p.scale;
#endif
        y[here + i] = v;
    }
    PM_ZERO_TAIL(y)
}
