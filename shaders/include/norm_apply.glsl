// y from x and its statistics. Reference: reference_norm in runtime/ops/norm.c.
#include "norm.glsl"

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
        vec4 u = norm_affine(norm_hat(row, quad));
        if (SILU) u = pm_silu(u);
        PM_ROWS_STORE(y, row * p.channels, quad, p.channels, u);
    }
}
