// state = x. Reference: reference_assign in runtime/ops/assign.c.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT_UINT(0, x)
PM_INOUT_UINT(1, state);

void main()
{
    uint i = gl_GlobalInvocationID.x; // both bindings begin at the piece
    if (p.base * gl_WorkGroupSize.x + i < p.count) state[i] = x(i);
}
