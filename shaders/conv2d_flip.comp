// Copies conv2d's weights [taps, rows_in, width_in] into whole vec4s, with zeros where there is nothing to
// copy; and, for the data gradient, turns the kernel round by half a turn and swaps input and output
// channels: of one tap, it transposes a matrix. Plain: y[tap][r][c] = w[tap][r][c], flipped: y[tap][r][c] = w[taps - 1 - tap][c][r], for y [taps,
// rows_out, 4 quads_out].
#version 460
#define PM_WINDOW_ID 2
#include "pumice.glsl"
#include "divisor.glsl"
#include "window.glsl"

layout(constant_id = 1) const bool FLIP = true;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // vec4s of the output
    pm_divisor quads_out, rows_out;
    uint taps, rows_in, width_in;
    PM_PUSH_WINDOW
} p;

PM_INPUT(0, w)
PM_INOUT4(1, y); // bound from the piece on

void main()
{
    uint i = PM_INVOCATION;
    if (i < p.count) {
        uint out_row = pm_quotient(i, p.quads_out), quad = i - out_row * p.quads_out.n;
        uint tap = pm_quotient(out_row, p.rows_out), r = out_row - tap * p.rows_out.n;
        vec4 v = vec4(0.0);
        if (IS_LATER) v = y[gl_GlobalInvocationID.x];
        [[unroll]] for (uint e = 0; e < 4; e++) {
            uint c = 4 * quad + e;
            uint row = FLIP ? c : r, column = FLIP ? r : c;
            bool inside = row < p.rows_in && column < p.width_in;
            uint from = ((FLIP ? p.taps - 1 - tap : tap) * p.rows_in + row) * p.width_in + column;
            if (IN_WINDOWS) inside = inside && PM_IN_WINDOW(from);
            float element = w(inside ? PM_WINDOW_AT(from) : 0);
            v[e] = inside ? element : v[e];
        }
        y[gl_GlobalInvocationID.x] = v;
    }
}
