// Times of masking, with the probability of a mask and the weight of the loss at each. Reference:
// reference_mask_times in runtime/ops/mask_times.c, which has the formulas.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const uint SCHEDULE = 0;
layout(constant_id = 2) const bool STRATIFIED = false;
const uint LINEAR = 0, COSINE = 1, POLYNOMIAL = 2, FIXED = 3; // pm_mask_schedule

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint batch;
    uint stream;
    uint spacing;
    float t_min, span; // span = 1 - t_min
    float eps, kept;   // kept = 1 - 2 eps, or 1 - eps for LINEAR
    float power;
} p;

PM_INPUT_UINT(0, counter)
PM_OUTPUT4(1, times);
PM_OUTPUT4(2, rates);
PM_OUTPUT4(3, weights);

#include "each_quad.glsl"
#include "strata.glsl"

// 1 - alpha(t), and -alpha'(t) / (1 - alpha(t)).
void pm_masking(vec4 t, out vec4 rate, out vec4 slope)
{
    if (SCHEDULE == LINEAR) {
        rate = p.kept * t;
        slope = pm_rcp(t);
    } else if (SCHEDULE == COSINE) {
        rate = PM_MAD(vec4(p.kept), pm_sin_turns(0.25 * t), vec4(p.eps));
        slope = pm_div((1.57079637 * p.kept) * pm_cos_turns(0.25 * t), rate);
    } else if (SCHEDULE == POLYNOMIAL) {
        vec4 masked = pm_flush(p.kept * pm_pow(t, vec4(p.power)));
        rate = masked + p.eps;
        slope = p.power * pm_rcp(t);
        if (p.eps > 0.0) slope *= pm_div(masked, rate);
    } else {
        rate = vec4(p.power);
        slope = vec4(1.0);
    }
}

void main()
{
    PM_EACH_QUAD(i, p.batch)
    {
        uvec4 bits = pm_strata(p.base * PM_QUADS_PER_GROUP + i, p.stream, STRATIFIED, p.spacing);
        vec4 t = min(PM_MAD(vec4(p.span), pm_uniform01_positive(bits), vec4(p.t_min)), 1.0);
        vec4 rate, slope;
        pm_masking(t, rate, slope);
        times[i] = PM_KEEP(t, i, p.batch);
        rates[i] = PM_KEEP(rate, i, p.batch);
        weights[i] = PM_KEEP(SCHEDULE == FIXED ? slope : pm_flush(p.span * slope), i, p.batch);
    }
}
