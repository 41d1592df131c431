// Layer normalisation of a few rows, a workgroup each: every lane finds the statistics of the whole row for
// itself, which needs no other lane, and then has its share of the result. Reference: reference_norm in
// runtime/ops/norm.c.
#include "norm.glsl"
#include "row_moments.glsl"

PM_ROWS_OUT(7, y);
PM_OUTPUT(8, mean_out);
PM_OUTPUT(9, rstd_out);

void main()
{
    uint row = gl_WorkGroupID.y, sample_index = row / p.positions;
    vec2 moments = row_moments(RMS, row * p.channels, p.channels, p.inverse_count, p.eps);
    mean4 = vec4(moments.x);
    rstd4 = vec4(moments.y);
    if (gl_LocalInvocationID.x == 0) {
        mean_out[row] = moments.x;
        rstd_out[row] = moments.y;
    }
    for (uint quad = gl_LocalInvocationID.x; 4 * quad < p.channels; quad += gl_WorkGroupSize.x) {
        norm_constants(quad);
        load_modulation(PER_TOKEN ? row : sample_index, quad);
        vec4 u = norm_affine((x(row * p.channels, quad, p.channels) - mean4) * rstd4);
        if (SILU) u = pm_silu(u);
        PM_ROWS_STORE(y, row * p.channels, quad, p.channels, u);
    }
}
