// dx = rstd (dxhat - <dxhat> - xhat <dxhat xhat>), where <> is the mean over what shares a mean and rstd; and
// the gradients of a modulation per token, which are sums of one term. Reference: reference_norm_backward in
// runtime/ops/norm_backward.c.
#include "norm.glsl"

PM_ROWS(7, dy)
PM_INPUT(8, mean_dhat)     // <dxhat>
PM_INPUT(9, mean_dhat_hat) // <dxhat xhat>
PM_ROWS_OUT(10, dx);
PM_ROWS_OUT(11, dscale);
PM_ROWS_OUT(12, dshift);

void main()
{
    uint quad = lane_quad(), sample_index = gl_WorkGroupID.z;
    if (4 * quad >= p.channels) return;
    norm_begin(sample_index, quad);
    vec4 m1 = vec4(0.0), m2 = vec4(0.0);
    if (!PER_ROW) {
        m1 = NORM_STATISTIC4(mean_dhat, 0, sample_index, quad);
        m2 = NORM_STATISTIC4(mean_dhat_hat, 0, sample_index, quad);
    }
    uint position = gl_WorkGroupID.y * ROWS_PER_LANE * row_lanes() + lane_row();
    for (uint turn = 0; turn < ROWS_PER_LANE && position < positions_here();
         turn++, position += row_lanes()) {
        uint row = sample_index * p.positions + position, start = row * p.channels;
        vec4 hat = norm_hat(row, quad);
        vec4 du = norm_du(hat, dy(start, quad, p.channels));
        if (PER_ROW) {
            m1 = vec4(mean_dhat(first_row() + row));
            m2 = vec4(mean_dhat_hat(first_row() + row));
        }
        vec4 dhat = du * (gamma4 * gain4);
        PM_ROWS_STORE(dx, start, quad, p.channels, rstd4 * (dhat - m1 - hat * m2));
        if (PER_TOKEN) {
            PM_ROWS_STORE(dscale, start, quad, p.channels, du * PM_MAD(hat, gamma4, beta4));
            PM_ROWS_STORE(dshift, start, quad, p.channels, du);
        }
    }
}
