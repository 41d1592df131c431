// One reverse step on x, in place, and the estimate of x0. Coefficients are those of the counter's step.
// Reference: reference_denoise_step in runtime/ops/diffusion.c.
#version 460
#include "pumice.glsl"

layout(constant_id = 1) const bool CLIP = false;
layout(constant_id = 2) const bool NOISE = true;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint rows;
    float clip;
} p;

PM_INOUT4(0, x);
PM_INPUT4(1, prediction)
PM_INPUT4(2, noise)
PM_INPUT_UINT(3, counter)
PM_INPUT4(4, table); // two groups of four a row
PM_OUTPUT4(5, x0);

#include "each_quad.glsl"

void main()
{
    uint row = min(counter(0), p.rows - 1);
    // Columns as in pm_step_column: x0 and noise from x; next x from x0, noise, x and z.
    vec4 estimate = table(2 * row), next = table(2 * row + 1);
    PM_EACH_QUAD(i, p.count)
    {
        vec4 now = x[i];
        vec4 clean = PM_MAD(vec4(estimate.x), now, estimate.y * prediction(i));
        if (CLIP) clean = clamp(clean, vec4(-p.clip), vec4(p.clip));
        vec4 eps = PM_MAD(vec4(estimate.z), now, estimate.w * clean);
        vec4 v = PM_MAD(vec4(next.y), eps, next.x * clean);
        v = PM_MAD(vec4(next.z), now, v);
        if (NOISE) v = PM_MAD(vec4(next.w), noise(i), v);
        x0[i] = PM_KEEP(clean, i, p.count);
        x[i] = PM_KEEP(v, i, p.count);
    }
}
