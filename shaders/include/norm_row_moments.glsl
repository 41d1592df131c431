// Layer normalisation: mean and 1 / sqrt(variance + eps) of each row, a lane a row, in two sweeps: the second
// sums squares around the mean that the first one found, or around 0 (RMS).
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

void main()
{
    uint row = gl_WorkGroupID.y * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint first_row = p.base * gl_WorkGroupSize.x;
    if (row >= p.rows - first_row) return;
    vec4 sum = vec4(0.0), squares = vec4(0.0);
    for (uint quad = 0; !RMS && 4 * quad < p.channels; quad++) {
        sum = sum + x(row * p.channels, quad, p.channels);
    }
    float center = row_total(sum) * p.inverse_count;
    for (uint quad = 0; 4 * quad < p.channels; quad++) {
        vec4 d = x(row * p.channels, quad, p.channels) - center;
        d = row_pad(d, quad, p.channels, 0.0);
        squares = PM_MAD(d, d, squares);
    }
    mean[first_row + row] = center;
    rstd[first_row + row] = pm_rsqrt(PM_MAD(row_total(squares), p.inverse_count, p.eps));
}
