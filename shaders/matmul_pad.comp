// Copies matrices [count, rows_in, width_in] into rows of whole vec4s [count, rows_out, 4 quads_out], with zeros where there is
// nothing to copy: the form in which the tiled kernels read their operands.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // vec4s of the output
    pm_divisor quads_out, rows_out;
    uint rows_in, width_in;
} p;

PM_INPUT(0, x)
PM_OUTPUT4(1, y);

const uint QUADS_PER_LANE = 4; // as in runtime/ops/matmul.c

void main()
{
    uint first = (p.base + gl_WorkGroupID.x) * (QUADS_PER_LANE * gl_WorkGroupSize.x) + gl_LocalInvocationID.x;
    for (uint turn = 0; turn < QUADS_PER_LANE; turn++) {
        uint i = first + turn * gl_WorkGroupSize.x;
        if (i < p.count) {
            uint row = pm_quotient(i, p.quads_out), quad = i - row * p.quads_out.n;
            uint matrix = pm_quotient(row, p.rows_out), row_in = row - matrix * p.rows_out.n;
            uint from = (matrix * p.rows_in + row_in) * p.width_in + 4 * quad;
            vec4 v;
            [[unroll]] for (uint e = 0; e < 4; e++) {
                bool inside = row_in < p.rows_in && 4 * quad + e < p.width_in;
                float element = x(inside ? from + e : 0);
                v[e] = inside ? element : 0.0;
            }
            y[i] = v;
        }
    }
}
