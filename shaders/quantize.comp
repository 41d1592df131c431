// y = min(floor(x levels), levels - 1), and 0 for what is not above 0. Reference: reference_quantize in
// runtime/ops/quantize.c.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint levels;
} p;

PM_INPUT(0, x)
PM_OUTPUT_UINT(1, y);

void main()
{
    uint i = gl_GlobalInvocationID.x; // both bindings begin at the piece
    if (p.base * gl_WorkGroupSize.x + i >= p.count) return;
    float scaled = x(i) * float(p.levels);
    uint level = scaled > 0.0 ? uint(min(scaled, float(p.levels))) : 0;
    y[i] = min(level, p.levels - 1);
}
