// The same as conv2d_flip.comp with FLIP, of matrices whose extents are multiples of four: an invocation
// transposes 4 x 4 elements.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;                   // blocks of 4 x 4
    pm_divisor quads_out, quads_in; // vec4s of a row of y and of w
    uint taps, rows_in;
} p;

PM_INPUT4(0, w)
PM_OUTPUT4(1, y);

void main()
{
    uint i = PM_INVOCATION;
    if (i >= p.count) return;
    uint block_row = pm_quotient(i, p.quads_out), quad = i - block_row * p.quads_out.n;
    uint tap = pm_quotient(block_row, p.quads_in), block = block_row - tap * p.quads_in.n;
    uint from = ((p.taps - 1 - tap) * p.rows_in + 4 * quad) * p.quads_in.n + block;
    vec4 rows[4];
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = w(from + r * p.quads_in.n);
    [[unroll]] for (uint c = 0; c < 4; c++) {
        y[(4 * block_row + c) * p.quads_out.n + quad] = vec4(rows[0][c], rows[1][c], rows[2][c], rows[3][c]);
    }
}
