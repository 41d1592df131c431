// Layer normalisation: the means of dxhat and dxhat xhat over each row, a lane a row. The first is what the
// gradient of the mean brings: none where that is a constant.
#include "norm.glsl"

PM_ROWS(7, dy)
PM_OUTPUT(8, mean_dhat);
PM_OUTPUT(9, mean_dhat_hat);

void main()
{
    uint row = gl_WorkGroupID.y * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= positions_here()) return;
    uint sample_index = gl_WorkGroupID.z;
    row += sample_index * p.positions;
    vec4 s1 = vec4(0.0), s2 = vec4(0.0);
    for (uint quad = 0; 4 * quad < p.channels; quad++) {
        norm_begin(sample_index, quad);
        vec4 hat = norm_hat(row, quad);
        vec4 dhat = norm_du(hat, dy(row * p.channels, quad, p.channels)) * (gamma4 * gain4);
        s1 = s1 + dhat;
        s2 = PM_MAD(dhat, hat, s2);
    }
    mean_dhat[first_row() + row] = RMS ? 0.0 : row_total(s1) * p.inverse_count;
    mean_dhat_hat[first_row() + row] = row_total(s2) * p.inverse_count;
}
