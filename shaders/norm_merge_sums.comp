// Adds the sums of all chunks of a sample, in order: [sample, chunk, channel] -> [sample, channel], a lane
// four channels.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "rows.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint samples;
    uint chunks;
    uint channels;
} p;

PM_ROWS(0, chunk_du)
PM_ROWS(1, chunk_du_hat)
PM_ROWS_OUT(2, sum_du);
PM_ROWS_OUT(3, sum_du_hat);

void main()
{
    uint index = PM_INVOCATION;
    uint sample_index = index / pm_quads(p.channels), quad = index % pm_quads(p.channels);
    if (sample_index >= p.samples) return;
    vec4 s1 = vec4(0.0), s2 = vec4(0.0);
    for (uint chunk = 0; chunk < p.chunks; chunk++) {
        uint start = (sample_index * p.chunks + chunk) * p.channels;
        s1 = s1 + chunk_du(start, quad, p.channels);
        s2 = s2 + chunk_du_hat(start, quad, p.channels);
    }
    PM_ROWS_STORE(sum_du, sample_index * p.channels, quad, p.channels, s1);
    PM_ROWS_STORE(sum_du_hat, sample_index * p.channels, quad, p.channels, s2);
}
