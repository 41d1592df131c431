// AdamW and the moving average on the flat arena of parameters, in place. What is under 2^-100 becomes zero,
// so that no denormal, which drivers treat differently, is ever kept. Reference: reference_adamw in
// runtime/ops/optimizer.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const bool STEP = true; // of the parameters
layout(constant_id = 2) const bool AVERAGE = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    float beta1;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    float eps;
    float weight_decay;
} p;

PM_INOUT4(0, param);
PM_INOUT4(1, first);
PM_INOUT4(2, second);
PM_INOUT4(3, average);
PM_INPUT4(4, gradient)
PM_INPUT4(5, shared_by_all);  // as adamw_step.comp wrote it
PM_INPUT_UINT(6, decays);     // a bit for each 64 elements of the arena

#include "each_quad.glsl"

float decay_of(uint quad)
{
    uint block = quad / 16;
    return (decays(block / 32) >> (block % 32) & 1u) != 0u ? p.weight_decay : 0.0;
}

void main()
{
    vec4 a = shared_by_all(0), corrections = shared_by_all(1);
    bool apply = a.x > 0.0;
    float factor = a.y, rate = a.z;
    PM_EACH_QUAD(i, p.count)
    {
        vec4 w = param[i];
        if (STEP && apply) {
            vec4 g = factor * gradient(i);
            vec4 m = pm_flush(PM_MAD(vec4(p.beta1), first[i], p.one_minus_beta1 * g));
            vec4 v = pm_flush(PM_MAD(vec4(p.beta2), second[i], p.one_minus_beta2 * (g * g)));
            vec4 move = pm_div(corrections.x * m, pm_sqrt(corrections.y * v) + p.eps);
            float decay = decay_of(p.base * PM_QUADS_PER_GROUP + i);
            w = pm_flush(w - rate * PM_MAD(vec4(decay), w, move));
            first[i] = m;
            second[i] = v;
            param[i] = w;
        }
        if (AVERAGE) {
            vec4 mean = average[i];
            average[i] = pm_flush(PM_MAD(vec4(a.w), w - mean, mean));
        }
    }
}
