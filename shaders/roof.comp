// The most multiply-adds that a device can do: CHAINS independent chains of x = a x + b on four elements each,
// in registers; nothing is read, and the sum of the chains is written. Reference: pm_roof_reference in
// runtime/ops/roof.c.
#version 460
#include "pumice.glsl"

layout(constant_id = 1) const uint CHAINS = 1;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rounds;
    float a;
    float b;
} p;

PM_OUTPUT4(0, y);

// Of each round: so many that the loop around them costs little; of 16 it cost lavapipe half of the time. As in
// runtime/ops/roof.h.
const uint STEPS = 64;

void main()
{
    vec4 x[CHAINS];
    vec4 first = vec4(0.0, 0.25, 0.5, 0.75) + float(gl_LocalInvocationID.x);
    [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] = first + float(4 * c);
    for (uint r = 0; r < p.rounds; r++) {
        [[unroll]] for (uint s = 0; s < STEPS; s++) {
            [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] = PM_MAD(x[c], vec4(p.a), vec4(p.b));
        }
    }
    vec4 sum = x[0];
    [[unroll]] for (uint c = 1; c < CHAINS; c++) sum += x[c];
    y[gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x] = sum;
}
