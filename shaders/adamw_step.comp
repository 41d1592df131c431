// What all parameters share in a step of AdamW, by one invocation: [apply or not, clipping factor, learning
// rate, 1 - EMA's decay], [bias corrections of both moments, 0, 0]. Reference: reference_adamw in
// runtime/ops/optimizer.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"
#include "good_norm.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint n_rates;
    uint n_corrections;
    uint n_averages; // 0: no average
    float clip;      // 0: none
} p;

PM_INPUT(0, norm)
PM_INPUT_UINT(1, counter)
PM_INPUT(2, rates)
PM_INPUT(3, corrections)
PM_INPUT(4, averages)
PM_OUTPUT4(5, result);

void main()
{
    if (gl_GlobalInvocationID.x != 0) return;
    uint step = counter(0);
    float n = norm(0);
    bool apply = good_norm(n);
    float factor = 1.0;
    if (apply && p.clip > 0.0 && n > p.clip) factor = pm_div(p.clip, n);
    float average = 0.0;
    if (p.n_averages != 0) average = averages(min(step, p.n_averages - 1));
    uint row = 2 * min(step, p.n_corrections - 1);
    result[0] = vec4(apply ? 1.0 : 0.0, factor, rates(min(step, p.n_rates - 1)), average);
    result[1] = vec4(corrections(row), corrections(row + 1), 0.0, 0.0);
}
