// Rows of a table by index; zeros for an index beyond its end: what embedding.comp and its variant are.
#define PM_WINDOW_ID 1
#include "slab.glsl"
#include "window.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    uint rows; // of the table
    pm_divisor width;
    PM_PUSH_WINDOW
} p;

PM_INPUT_UNIT(0, table)
PM_INPUT_UINT(1, index)
PM_OUTPUT_UNIT(2, y);

void main()
{
    uint here = PM_SLAB_HERE, rows = p.rows;
    pm_divisor width = p.width;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(here + i, width);
        uint wanted = index(row);
        uint at = min(wanted, rows - 1) * width.n + (here + i - row * width.n);
        if (IN_WINDOWS && !PM_IN_WINDOW(at)) continue;
        PM_UNIT v = table(PM_WINDOW_AT(at));
        y[here + i] = wanted < rows ? v : PM_UNIT(0);
    }
    PM_ZERO_TAIL(y)
}
