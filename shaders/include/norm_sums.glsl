// Per chunk of ROWS_PER_LANE positions and channel: the sums of du and of du xhat (of du gain, where the gain
// differs from token to token). Everything that the parameters and groups need are sums of these. Reference:
// reference_norm_sums in runtime/ops/norm_backward.c.
#include "norm.glsl"

PM_ROWS(7, dy)
PM_ROWS_OUT(8, sum_du);     // [sample, chunk, channel]
PM_ROWS_OUT(9, sum_du_hat);

void main()
{
    uint quad = lane_quad(), sample_index = gl_WorkGroupID.z;
    uint chunk = gl_WorkGroupID.y * row_lanes() + lane_row(), first = chunk * ROWS_PER_LANE;
    if (4 * quad >= p.channels || first >= positions_here()) return;
    uint end = min(first + ROWS_PER_LANE, positions_here());
    norm_begin(sample_index, quad);
    vec4 s1 = vec4(0.0), s2 = vec4(0.0);
    for (uint position = first; position < end; position++) {
        uint row = sample_index * p.positions + position;
        vec4 hat = norm_hat(row, quad);
        vec4 du = norm_du(hat, dy(row * p.channels, quad, p.channels));
        if (PER_TOKEN) du = du * gain4;
        s1 = s1 + du;
        s2 = PM_MAD(du, hat, s2);
    }
    uint chunks = (p.positions + ROWS_PER_LANE - 1) / ROWS_PER_LANE;
    chunk += (first_sample() + sample_index) * chunks + (p.positions - positions_here()) / ROWS_PER_LANE;
    uint start = chunk * p.channels;
    PM_ROWS_STORE(sum_du, start, quad, p.channels, s1);
    PM_ROWS_STORE(sum_du_hat, start, quad, p.channels, s2);
}
