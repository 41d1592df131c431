// Group normalisation, second stage: mean and 1 / sqrt(variance + eps) of each sample and group from those of
// its chunks and channels: the mean of the means, then the sum of squared deviations within and between them.
// A lane a group.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "exact.glsl"
#include "rows.glsl"
#include "norm_group.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint samples;
    uint chunks;
    uint channels;
    uint group_channels;
    float chunk_count; // positions in a chunk, and in the last one
    float last_count;
    float inverse_count; // 1 / elements of a group
    float eps;
} p;

PM_ROWS(0, chunk_mean) // [sample, chunk, channel]
PM_ROWS(1, chunk_squares)
PM_OUTPUT(2, mean);
PM_OUTPUT(3, rstd);

void main()
{
    uint index = PM_INVOCATION;
    group_range g = group_of(index, p.channels, p.group_channels);
    if (g.sample_index >= p.samples) return;

    vec4 sum = vec4(0.0), squares = vec4(0.0);
    uint start = g.sample_index * p.chunks * p.channels;
    for (uint chunk = 0; chunk < p.chunks; chunk++) {
        float count = chunk + 1 < p.chunks ? p.chunk_count : p.last_count;
        EACH_GROUP_QUAD(g, quad)
        {
            vec4 m = chunk_mean(start + chunk * p.channels, quad, p.channels);
            sum = PM_MAD(group_only(g, quad, m), vec4(count), sum);
        }
    }
    float center = row_total(sum) * p.inverse_count;
    for (uint chunk = 0; chunk < p.chunks; chunk++) {
        float count = chunk + 1 < p.chunks ? p.chunk_count : p.last_count;
        EACH_GROUP_QUAD(g, quad)
        {
            vec4 d = chunk_mean(start + chunk * p.channels, quad, p.channels) - center;
            vec4 within = chunk_squares(start + chunk * p.channels, quad, p.channels);
            squares = squares + group_only(g, quad, PM_MAD(d * d, vec4(count), within));
        }
    }
    mean[index] = center;
    rstd[index] = pm_rsqrt(PM_MAD(row_total(squares), p.inverse_count, p.eps));
}
