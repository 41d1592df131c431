// y = scale * the sum of a FACTOR x FACTOR square of x, row by row: what pool.comp and its variant are. The
// view's axes are rows of squares, squares of a row, channels.
#include "view.glsl"

layout(constant_id = 2) const uint FACTOR = 2;

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
    uint row = view.stride[0] / FACTOR, pixel = view.stride[1] / FACTOR;
    PM_EACH_UNIT(i)
    {
        uint place = pm_view_place(view, first + i);
        PM_UNIT sum = PM_UNIT(0);
        for (uint r = 0; r < FACTOR; r++) {
            for (uint c = 0; c < FACTOR; c++) sum += x(place + r * row + c * pixel);
        }
        y[here + i] = p.scale * sum;
    }
    PM_ZERO_TAIL(y)
}
