// seen[b, tokens[b]] = 1. Reference: reference_mark_seen in runtime/ops/mark_seen.c.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint width;
} p;

PM_INPUT_UINT(0, tokens)
PM_INOUT_UINT(1, seen);

void main()
{
    uint row = gl_GlobalInvocationID.x; // of this piece, from whose first one on both are bound
    if (PM_INVOCATION >= p.rows) return;
    uint token = tokens(row);
    if (token < p.width) seen[row * p.width + token] = 1;
}
