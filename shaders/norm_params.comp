// The gradients of gamma and beta, added over the samples in order, and of a modulation per sample, from the
// sums of each sample and channel. A lane four channels. Reference: reference_norm_params in
// runtime/ops/norm_backward.c.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "rows.glsl"

layout(constant_id = 1) const bool MODULATED = false; // per sample
layout(constant_id = 2) const bool HAS_GAMMA = false;
layout(constant_id = 3) const bool HAS_BETA = false;
layout(constant_id = 4) const bool HAS_SCALE = false;
layout(constant_id = 5) const bool IS_LATER = false; // these samples follow others, whose sums are there

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint samples;
    uint channels;
} p;

PM_ROWS(0, sum_du)
PM_ROWS(1, sum_du_hat)
PM_ROWS(2, gamma)
PM_ROWS(3, beta)
PM_ROWS(4, scale)
PM_INOUT4(5, dgamma); // whole quads, so that zeros follow the last channel
PM_INOUT4(6, dbeta);
PM_ROWS_OUT(7, dscale);
PM_ROWS_OUT(8, dshift);

void main()
{
    uint quad = PM_INVOCATION;
    if (4 * quad >= p.channels) return;
    vec4 gamma4 = HAS_GAMMA ? gamma(0, quad, p.channels) : vec4(1.0);
    vec4 beta4 = HAS_BETA ? beta(0, quad, p.channels) : vec4(0.0);
    vec4 s1 = vec4(0.0), s2 = vec4(0.0);
    if (IS_LATER) {
        s1 = dbeta[quad];
        s2 = dgamma[quad];
    }
    for (uint i = 0; i < p.samples; i++) {
        uint start = i * p.channels;
        vec4 du = sum_du(start, quad, p.channels), du_hat = sum_du_hat(start, quad, p.channels);
        vec4 gain = HAS_SCALE && MODULATED ? 1.0 + scale(start, quad, p.channels) : vec4(1.0);
        s1 = PM_MAD(du, gain, s1);
        s2 = PM_MAD(du_hat, gain, s2);
        if (MODULATED) {
            PM_ROWS_STORE(dscale, start, quad, p.channels, PM_MAD(gamma4, du_hat, beta4 * du));
            PM_ROWS_STORE(dshift, start, quad, p.channels, du);
        }
    }
    dgamma[quad] = s2;
    dbeta[quad] = s1;
}
