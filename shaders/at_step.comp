// y[i] = table[min(step, n - 1)]. Reference: reference_at_step in runtime/ops/at_step.c.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint entries;
} p;

PM_INPUT_UINT(0, table)
PM_INPUT_UINT(1, counter)
PM_OUTPUT_UINT(2, y);

void main()
{
    uint i = gl_GlobalInvocationID.x; // y begins at the piece
    if (PM_INVOCATION < p.count) y[i] = table(min(counter(0), p.entries - 1));
}
