// The counter of a run goes one step on. Reference: reference_advance in runtime/ops/random.c.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
} p;

PM_INOUT_UINT(0, counter);

void main()
{
    if (gl_GlobalInvocationID.x == 0) counter[0] += 1;
}
