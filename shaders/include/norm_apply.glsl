// y from x and its statistics; or u before the modulation alone, or what modulates such a u. Reference: reference_norm
// in runtime/ops/norm.c.
#include "norm.glsl"

layout(constant_id = 11) const bool NORMALISES = true;
layout(constant_id = 12) const bool MODULATES = true;

PM_ROWS_OUT(7, y);

void main()
{
    uint quad = lane_quad(), sample_index = gl_WorkGroupID.z;
    if (4 * quad >= p.channels) return;
    norm_begin(sample_index, quad);
    uint position = gl_WorkGroupID.y * ROWS_PER_LANE * row_lanes() + lane_row();
    for (uint turn = 0; turn < ROWS_PER_LANE && position < positions_here();
         turn++, position += row_lanes()) {
        uint row = sample_index * p.positions + position;
        vec4 hat = norm_hat(row, quad), u = x(row * p.channels, quad, p.channels);
        if (NORMALISES) u = PM_MAD(hat, gamma4, beta4);
        if (MODULATES) u = PM_MAD(u, gain4, shift4);
        if (SILU) u = pm_silu(u);
        PM_ROWS_STORE(y, row * p.channels, quad, p.channels, u);
    }
}
