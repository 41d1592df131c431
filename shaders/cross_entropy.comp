// First stage of the cross entropy: for each run of 256 logits of a row its greatest value and the sum of
// exp(logit - greatest). A workgroup covers whole rows. Reference: reference_cross_entropy in
// runtime/ops/loss.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const bool RAGGED = false; // rows are no multiple of four long: read one by one

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint width;
    uint runs;           // of a row
    uint rows_per_group;
} p;

PM_INPUT4(0, logits4)
PM_INPUT(1, logits)
PM_OUTPUT(2, greatest);
PM_OUTPUT(3, sums);

const uint RUN_QUADS = 64;      // as in runtime/ops/loss.c
const float ABSENT = -3.0e38;

// Group of four number q of a row of this piece; ABSENT past its end.
vec4 quad_of(uint row, uint q)
{
    if (!RAGGED) return logits4(row * (p.width / 4) + q);
    uint at = row * p.width + 4 * q, left = p.width - 4 * q;
    return vec4(logits(at), left > 1 ? logits(at + 1) : ABSENT, left > 2 ? logits(at + 2) : ABSENT,
                left > 3 ? logits(at + 3) : ABSENT);
}

void main()
{
    uint first_row = gl_WorkGroupID.x * p.rows_per_group;
    uint rows = min(p.rows_per_group, p.rows - p.base * p.rows_per_group - first_row);
    uint quads = pm_quads(p.width);
    for (uint work = gl_LocalInvocationID.x; work < rows * p.runs; work += gl_WorkGroupSize.x) {
        uint row = first_row + work / p.runs, run = work % p.runs;
        uint begin = run * RUN_QUADS, end = min(begin + RUN_QUADS, quads);
        vec4 top = vec4(ABSENT);
        for (uint q = begin; q < end; q++) top = max(top, quad_of(row, q));
        float most = max(max(top.x, top.y), max(top.z, top.w));
        vec4 sum = vec4(0.0);
        for (uint q = begin; q < end; q++) sum += pm_exp(quad_of(row, q) - most);
        greatest[row * p.runs + run] = most;
        sums[row * p.runs + run] = (sum.x + sum.y) + (sum.z + sum.w);
    }
}
