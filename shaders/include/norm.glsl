// What the kernels of normalisation share. x is [sample, position, channel]; with xhat = (x - mean) rstd,
//     u = (xhat gamma + beta) gain + shift,  gain = 1 + scale,  y = silu(u) or u.
// mean and rstd belong to a sample and group of channels, or to a row (PER_ROW: layer normalisation); scale
// and shift to a sample, or to a row (PER_TOKEN). A lane works on four neighbouring channels.
#ifndef PUMICE_NORM_GLSL
#define PUMICE_NORM_GLSL

#include "divisor.glsl"
#include "exact.glsl"
#include "rows.glsl"

// Lanes side by side along the channels; the others lie along the rows.
layout(constant_id = 1) const uint CHANNEL_LANES = 8;
layout(constant_id = 2) const uint ROWS_PER_LANE = 16;
// Whose mean and rstd are: a group of channels', a row's, a group's of whole vec4s of channels.
layout(constant_id = 3) const uint STATISTICS = 0;
const bool PER_ROW = STATISTICS == 1, PER_QUADS = STATISTICS == 2;
layout(constant_id = 4) const bool PER_TOKEN = false;
layout(constant_id = 5) const bool HAS_GAMMA = false;
layout(constant_id = 6) const bool HAS_BETA = false;
layout(constant_id = 7) const bool HAS_SCALE = false;
layout(constant_id = 8) const bool HAS_SHIFT = false;
layout(constant_id = 9) const bool SILU = false;
layout(constant_id = 10) const bool RMS = false; // mean is a constant 0

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint positions;
    uint channels;
    uint groups;
    pm_divisor group_channels;
    uint rows_per_base;    // of one workgroup along the split axis
    uint samples_per_base; // 1, or 0 where the positions are split
    float inverse_count;   // 1 / channels
    float eps;             // of norm_row.glsl
} p;

PM_ROWS(0, x)
PM_INPUT(1, mean)
PM_INPUT(2, rstd)
PM_ROWS(3, gamma)
PM_ROWS(4, beta)
PM_ROWS(5, scale)
PM_ROWS(6, shift)

// What a lane holds of the quad that it works on.
vec4 mean4, rstd4, gamma4, beta4, gain4, shift4;

// A piece's x, y and whatever else is as large begin at its first row, which is this one; all else is bound
// whole.
uint first_row()
{
    return p.base * p.rows_per_base;
}

uint first_sample()
{
    return p.base * p.samples_per_base;
}

// Positions of a sample from this piece's first one on.
uint positions_here()
{
    return p.samples_per_base == 1 ? p.positions : p.positions - first_row();
}

uint lane_quad()
{
    return gl_WorkGroupID.x * CHANNEL_LANES + gl_LocalInvocationID.x % CHANNEL_LANES;
}

uint row_lanes()
{
    return gl_WorkGroupSize.x / CHANNEL_LANES;
}

uint lane_row()
{
    return gl_LocalInvocationID.x / CHANNEL_LANES;
}

// Index of the statistics of one channel of a sample or row of this piece.
uint statistic_at(uint row, uint sample_index, uint channel)
{
    if (PER_ROW) return first_row() + row;
    uint group = pm_quotient(min(channel, p.channels - 1), p.group_channels);
    return (first_sample() + sample_index) * p.groups + group;
}

// Of the four channels, by as few reads as do.
#define NORM_STATISTIC4(name, row, sample_index, quad)                               \
    (PER_QUADS ? vec4(name(statistic_at(row, sample_index, 4 * (quad))))             \
               : vec4(name(statistic_at(row, sample_index, 4 * (quad))),             \
                      name(statistic_at(row, sample_index, 4 * (quad) + 1)),         \
                      name(statistic_at(row, sample_index, 4 * (quad) + 2)),         \
                      name(statistic_at(row, sample_index, 4 * (quad) + 3))))

void load_modulation(uint row, uint quad)
{
    gain4 = HAS_SCALE ? 1.0 + scale(row * p.channels, quad, p.channels) : vec4(1.0);
    shift4 = HAS_SHIFT ? shift(row * p.channels, quad, p.channels) : vec4(0.0);
}

// Loads what is the same for all rows.
void norm_constants(uint quad)
{
    gamma4 = HAS_GAMMA ? gamma(0, quad, p.channels) : vec4(1.0);
    beta4 = HAS_BETA ? beta(0, quad, p.channels) : vec4(0.0);
}

// Loads what is the same for all rows of a sample.
void norm_begin(uint sample_index, uint quad)
{
    norm_constants(quad);
    if (!PER_TOKEN) load_modulation(first_sample() + sample_index, quad);
    if (!PER_ROW) {
        mean4 = NORM_STATISTIC4(mean, 0, sample_index, quad);
        rstd4 = NORM_STATISTIC4(rstd, 0, sample_index, quad);
    }
}

// Loads what a row has of its own, and returns xhat.
vec4 norm_hat(uint row, uint quad)
{
    if (PER_TOKEN) load_modulation(row, quad);
    if (PER_ROW) {
        mean4 = vec4(mean(first_row() + row));
        rstd4 = vec4(rstd(first_row() + row));
    }
    return (x(row * p.channels, quad, p.channels) - mean4) * rstd4;
}

vec4 norm_affine(vec4 hat)
{
    return PM_MAD(PM_MAD(hat, gamma4, beta4), gain4, shift4);
}

// dL/du from dL/dy.
vec4 norm_du(vec4 hat, vec4 dy)
{
    return SILU ? dy * pm_silu_grad(norm_affine(hat)) : dy;
}

#endif
