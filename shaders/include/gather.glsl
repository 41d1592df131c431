// y[i] = x[view(i)], or a multiple of it: what gather.comp and its variants are.
#include "view.glsl"

layout(constant_id = 2) const bool SCALED = false;

layout(push_constant) uniform Push
{
    PM_PUSH_COMMON
    PM_PUSH_VIEW
    float scale;
}
p;

PM_INPUT_UNIT(0, x)
PM_OUTPUT_UNIT(1, y);

void main()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE;
    PM_EACH_UNIT(i)
    {
        PM_VIEW_PLACE(place, first + i);
#ifdef PM_INTEGER
        y[here + i] = x(place);
#else
        y[here + i] = SCALED ? p.scale * x(place) : x(place);
#endif
    }
    PM_ZERO_TAIL(y)
}
