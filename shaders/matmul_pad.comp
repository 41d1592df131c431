// Copies matrices [count, rows_in, width_in] into rows of whole vec4s [count, rows_out, 4 quads_out], with
// zeros where there is nothing to copy: the form in which the tiled kernels read their operands.
#version 460
#include "pumice.glsl"
#include "slab.glsl"

// Whether rows_in != rows_out; if not, x is bound from the first row of a piece on.
layout(constant_id = 1) const bool PAD_ROWS = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    uint slab_rows;
    pm_divisor quads_out, rows_out;
    uint rows_in, width_in;
} p;

PM_INPUT(0, x)
PM_OUTPUT4(1, y);

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
        vec4 v;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            bool inside = exists && 4 * quad + e < p.width_in;
            float element = x(inside ? from * p.width_in + 4 * quad + e : 0);
            v[e] = inside ? element : 0.0;
        }
        y[PM_SLAB_HERE + i] = v;
    }
}
