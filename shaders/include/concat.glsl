// Rows of y = a row of a from unit `begin` on, and around it a row of b, or zeros: what concat.comp and its
// variants are. A workgroup's units are those of its rows of a, then those of b, so that few lanes ever part.
#define PM_WINDOW_ID 3
#include "slab.glsl"
#include "window.glsl"

layout(constant_id = 1) const bool HAS_B = true;
// What this dispatch writes: all of its rows; or, where rows are too long for that, what comes from a window
// of one of the two, a slab being any run of units.
layout(constant_id = 2) const uint PART = 0;
const uint ALL = 0, A = 1, B = 2;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    uint rows;
    uint slab_rows;
    uint begin;
    pm_divisor a_width; // units of a row of a
    pm_divisor b_width; // and of the rest of a row of y; at least 1
    uint width;         // of a row of y
    PM_PUSH_WINDOW
} p;

PM_INPUT_UNIT(0, a)
PM_INPUT_UNIT(1, b)
PM_OUTPUT_UNIT(2, y);

void write_part()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE, b_units = p.width - p.a_width.n;
    PM_EACH_UNIT(i)
    {
        uint row = (first + i) / p.width, column = first + i - row * p.width;
        bool of_a = column - p.begin < p.a_width.n;
        if (of_a != (PART == A)) continue;
        uint place = of_a ? row * p.a_width.n + column - p.begin
                          : row * b_units + (column < p.begin ? column : column - p.a_width.n);
        if (PART == B && !HAS_B) {
            y[here + i] = PM_UNIT(0);
        } else if (PM_IN_WINDOW(place)) {
            y[here + i] = PART == A ? a(place - p.window_begin) : b(place - p.window_begin);
        }
    }
}

void write_rows()
{
    uint row_here = gl_WorkGroupID.y * p.slab_rows;
    uint rows = min(p.slab_rows, p.rows - p.base * p.slab_rows - row_here);
    uint from = gl_WorkGroupID.x * p.units_x, to = min(from + p.units_x, rows * p.width);
    pm_divisor a_width = p.a_width, b_width = p.b_width;
    uint width = p.width, begin = p.begin;
    uint a_units = rows * a_width.n, b_units = width - a_width.n;

    for (uint i = from + gl_LocalInvocationID.x; i < min(to, a_units); i += gl_WorkGroupSize.x) {
        uint row = pm_quotient(i, a_width);
        y[(row_here + row) * width + begin + (i - row * a_width.n)] = a(row_here * a_width.n + i);
    }
    uint b_from = max(from, a_units) - a_units;
    for (uint i = b_from + gl_LocalInvocationID.x; a_units + i < to; i += gl_WorkGroupSize.x) {
        uint row = pm_quotient(i, b_width);
        uint column = i - row * b_units;
        uint place = column < begin ? column : column + a_width.n;
        y[(row_here + row) * width + place] = HAS_B ? b(row_here * b_units + i) : PM_UNIT(0);
    }
}

void main()
{
    if (PART == ALL) {
        write_rows();
    } else {
        write_part();
    }
    PM_ZERO_TAIL(y)
}
