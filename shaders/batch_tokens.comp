// Windows of a text that begin where random_index.comp drew. Reference: reference_batch_tokens in
// runtime/ops/tokens.c.
#version 460
#define PM_WINDOW_ID 1
#include "pumice.glsl"
#include "divisor.glsl"
#include "window.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    pm_divisor window_length;
    PM_PUSH_WINDOW // of the corpus
} p;

PM_INPUT_UINT(0, corpus)
PM_INPUT_UINT(1, start)
PM_OUTPUT_UINT(2, y);

void main()
{
    uint here = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint i = PM_INVOCATION;
    if (i >= p.count) return;
    uint window = pm_quotient(i, p.window_length);
    uint at = start(window) + (i - window * p.window_length.n);
    if (!IN_WINDOWS || PM_IN_WINDOW(at)) y[here] = corpus(PM_WINDOW_AT(at));
}
