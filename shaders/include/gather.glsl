// y[i] = x[view(i)], or a multiple of it: what gather.comp and its variants are.
#include "view.glsl"

layout(constant_id = 2) const bool SCALED = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_VIEW
    float scale;
} p;

PM_INPUT_UNIT(0, x)
PM_OUTPUT_UNIT(1, y);

void main()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE;
    pm_view view = PM_VIEW_HERE;
    PM_EACH_UNIT(i)
    {
        PM_UNIT v = x(pm_view_place(view, first + i));
#ifndef PM_INTEGER
        if (SCALED) v *= p.scale;
#endif
        y[here + i] = v;
    }
    PM_ZERO_TAIL(y)
}
