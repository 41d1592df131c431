// Group normalisation, first stage: mean and sum of squared deviations of each channel over a chunk of CHUNK
// positions, in two sweeps. Lanes lie along the channels, four each; those beyond CHANNEL_LANES on further
// chunks.
#include "rows.glsl"

layout(constant_id = 1) const uint CHANNEL_LANES = 8;
layout(constant_id = 2) const uint CHUNK = 32;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint positions;
    uint channels;
    uint rows_per_base;    // as in norm.glsl
    uint samples_per_base;
    float inverse_chunk; // 1 / CHUNK
    float inverse_last;  // 1 / positions of the last chunk
} p;

PM_ROWS(0, x)
PM_ROWS_OUT(1, chunk_mean); // [sample, chunk, channel]
PM_ROWS_OUT(2, chunk_squares);

void main()
{
    uint quad = gl_WorkGroupID.x * CHANNEL_LANES + gl_LocalInvocationID.x % CHANNEL_LANES;
    uint row_lanes = gl_WorkGroupSize.x / CHANNEL_LANES;
    uint chunk = gl_WorkGroupID.y * row_lanes + gl_LocalInvocationID.x / CHANNEL_LANES;
    uint unseen = p.samples_per_base == 1 ? 0 : p.base * p.rows_per_base;
    uint positions_here = p.positions - unseen;
    if (4 * quad >= p.channels || chunk * CHUNK >= positions_here) return;

    uint count = min(CHUNK, positions_here - chunk * CHUNK);
    uint start = (gl_WorkGroupID.z * p.positions + chunk * CHUNK) * p.channels;
    vec4 sum = vec4(0.0), squares = vec4(0.0);
    for (uint i = 0; i < count; i++) sum = sum + x(start + i * p.channels, quad, p.channels);
    vec4 center = sum * (count == CHUNK ? p.inverse_chunk : p.inverse_last);
    for (uint i = 0; i < count; i++) {
        vec4 d = x(start + i * p.channels, quad, p.channels) - center;
        squares = PM_MAD(d, d, squares);
    }
    uint chunks = (p.positions + CHUNK - 1) / CHUNK;
    uint sample_index = p.base * p.samples_per_base + gl_WorkGroupID.z;
    uint out_start = (sample_index * chunks + unseen / CHUNK + chunk) * p.channels;
    PM_ROWS_STORE(chunk_mean, out_start, quad, p.channels, center);
    PM_ROWS_STORE(chunk_squares, out_start, quad, p.channels, squares);
}
