// dx = y (dy - sum of dy y over the row), a lane a row. Reference: reference_softmax_backward in runtime/ops/softmax.c.
#include "rows.glsl"

layout(push_constant) uniform Push
{
    PM_PUSH_COMMON
    uint rows;
    uint width;
} p;

PM_ROWS(0, y)
PM_ROWS(1, dy)
PM_ROWS_OUT(2, dx);

void main()
{
    uint row = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= p.rows - p.base * gl_WorkGroupSize.x) return;
    uint start = row * p.width;
    vec4 sum = vec4(0.0);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        sum = PM_MAD(y(start, quad, p.width), dy(start, quad, p.width), sum);
    }
    float inner = row_total(sum);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        PM_ROWS_STORE(dx, start, quad, p.width, y(start, quad, p.width) * (dy(start, quad, p.width) - inner));
    }
}
