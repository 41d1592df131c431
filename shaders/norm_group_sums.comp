// Group normalisation: the means of dxhat and dxhat xhat over each sample and group, from the sums of each
// channel. A lane a group.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "rows.glsl"
#include "norm_group.glsl"

layout(constant_id = 1) const bool HAS_GAMMA = false;
layout(constant_id = 2) const bool HAS_SCALE = false; // per sample; the sums hold a gain per token already

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint samples;
    uint channels;
    uint group_channels;
    float inverse_count; // 1 / elements of a group
} p;

PM_ROWS(0, sum_du)
PM_ROWS(1, sum_du_hat)
PM_ROWS(2, gamma)
PM_ROWS(3, scale)
PM_OUTPUT(4, mean_dhat);
PM_OUTPUT(5, mean_dhat_hat);

void main()
{
    uint index = PM_INVOCATION;
    group_range g = group_of(index, p.channels, p.group_channels);
    if (g.sample_index >= p.samples) return;
    uint start = g.sample_index * p.channels;
    vec4 s1 = vec4(0.0), s2 = vec4(0.0);
    EACH_GROUP_QUAD(g, quad)
    {
        vec4 weight = HAS_GAMMA ? gamma(0, quad, p.channels) : vec4(1.0);
        if (HAS_SCALE) weight = weight * (1.0 + scale(start, quad, p.channels));
        weight = group_only(g, quad, weight);
        s1 = PM_MAD(weight, sum_du(start, quad, p.channels), s1);
        s2 = PM_MAD(weight, sum_du_hat(start, quad, p.channels), s2);
    }
    mean_dhat[index] = row_total(s1) * p.inverse_count;
    mean_dhat_hat[index] = row_total(s2) * p.inverse_count;
}
