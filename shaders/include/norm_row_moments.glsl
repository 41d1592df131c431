// Layer normalisation: the statistics of each row, a lane a row.
#include "exact.glsl"
#include "rows.glsl"

layout(constant_id = 1) const bool RMS = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint channels;
    float inverse_count; // 1 / channels
    float eps;
} p;

PM_ROWS(0, x)
PM_OUTPUT(1, mean);
PM_OUTPUT(2, rstd);

#include "row_moments.glsl"

void main()
{
    uint row = gl_WorkGroupID.y * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint first_row = p.base * gl_WorkGroupSize.x;
    if (row >= p.rows - first_row) return;
    vec2 moments = row_moments(RMS, row * p.channels, p.channels, p.inverse_count, p.eps);
    mean[first_row + row] = moments.x;
    rstd[first_row + row] = moments.y;
}
