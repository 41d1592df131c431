// The gradient of a table: row v is the sum of dy's rows at which the index is v, in their order: what
// embedding_backward.comp and its variant are.
#define PM_WINDOW_ID 1
#include "slab.glsl"
#include "window.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    pm_divisor width;
    PM_PUSH_WINDOW
} p;

PM_INPUT_UNIT(0, dy)
PM_INPUT_UINT(1, order)
PM_INPUT_UINT(2, start)
PM_INOUT_UNIT(3, dtable);

void main()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE;
    pm_divisor width = p.width;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(first + i, width);
        uint column = first + i - row * width.n, end = start(row + 1);
        PM_UNIT sum = PM_UNIT(0);
        if (IN_WINDOWS) {
            if (IS_LATER) sum = dtable[here + i];
            for (uint k = start(row); k < end; k++) {
                uint at = order(k) * width.n + column;
                if (PM_IN_WINDOW(at)) sum += dy(at - p.window_begin);
            }
        } else {
            for (uint k = start(row); k < end; k++) sum += dy(order(k) * width.n + column);
        }
        dtable[here + i] = sum;
    }
    PM_ZERO_TAIL(dtable)
}
