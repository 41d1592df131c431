// Copies matrices [count, rows_in, width_in] into rows of whole vec4s [count, rows_out, 4 quads_out], with
// zeros where there is nothing to copy: the form in which the tiled kernels read their operands.
#version 460
#define PM_WINDOW_ID 2
#include "pumice.glsl"
#include "slab.glsl"
#include "window.glsl"

// Whether rows_in != rows_out, or x is bound in windows; if not, it is bound from the first row of a piece
// on.
layout(constant_id = 1) const bool PAD_ROWS = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    uint slab_rows;
    pm_divisor quads_out, rows_out;
    uint rows_in, width_in;
    PM_PUSH_WINDOW
} p;

PM_INPUT(0, x)
PM_INOUT4(1, y);

void main()
{
    pm_divisor quads_out = p.quads_out, rows_out = p.rows_out;
    PM_EACH_UNIT(i) {
        uint row = pm_quotient(i, quads_out), quad = i - row * quads_out.n;
        uint from = gl_WorkGroupID.y * p.slab_rows + row;
        bool exists = true;
        if (PAD_ROWS) {
            uint row_of_all = p.base * p.slab_rows + from;
            uint matrix = pm_quotient(row_of_all, rows_out), row_in = row_of_all - matrix * rows_out.n;
            exists = row_in < p.rows_in;
            from = matrix * p.rows_in + row_in;
        }
        vec4 v = vec4(0.0);
        if (IS_LATER) v = y[PM_SLAB_HERE + i];
        [[unroll]] for (uint e = 0; e < 4; e++) {
            uint at = from * p.width_in + 4 * quad + e;
            bool inside = exists && 4 * quad + e < p.width_in && (!IN_WINDOWS || PM_IN_WINDOW(at));
            float element = x(inside ? PM_WINDOW_AT(at) : 0);
            v[e] = inside ? element : v[e];
        }
        y[PM_SLAB_HERE + i] = v;
    }
}
