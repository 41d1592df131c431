// The scale of the loss after a step whose gradient had this norm. Reference: reference_loss_scale in
// runtime/ops/loss_scale.c. Scales are powers of two: all that is computed here is exact.
#version 460
#include "pumice.glsl"
#include "good_norm.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint patience; // good steps after which the scale doubles
    float first;   // of a new state
    float least, most;
} p;

PM_INPUT(0, norm)
PM_INOUT(1, scale);   // [1]
PM_INOUT(2, inverse); // [1]: its inverse
PM_INOUT_UINT(3, counts); // [2]: good steps in a row since the scale changed; steps that were skipped

void main()
{
    if (gl_GlobalInvocationID.x != 0) return;
    bool good = good_norm(norm(0)); // else AdamW skips the step
    uint steps = good ? counts[0] + 1 : 0;
    float factor = good ? 1.0 : 0.5;
    if (steps >= p.patience) {
        factor = 2.0;
        steps = 0;
    }
    float before = scale[0] == 0.0 ? p.first : scale[0], next = factor * before;
    if (next < p.least || next > p.most) next = before;
    scale[0] = next;
    // 2^-n has the bits of 2^n with the exponent negated.
    inverse[0] = uintBitsToFloat(0x7f000000u - floatBitsToUint(next));
    counts[0] = steps;
    if (!good) counts[1]++;
}
