// y = exp(x - max) / sum exp(x - max) over each row, a lane a row: three sweeps, for the maximum, the sum and
// the result. Reference: reference_softmax in runtime/ops/softmax.c.
#include "exact.glsl"
#include "rows.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint width;
} p;

PM_ROWS(0, x)
PM_ROWS_OUT(1, y);

const float LOWEST = -3.4e38;

void main()
{
    uint row = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= p.rows - p.base * gl_WorkGroupSize.x) return;
    uint start = row * p.width;

    vec4 highest = vec4(LOWEST);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        highest = max(highest, row_pad(x(start, quad, p.width), quad, p.width, LOWEST));
    }
    float top = max(max(highest.x, highest.y), max(highest.z, highest.w));
    vec4 sum = vec4(0.0);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        sum = sum + row_pad(pm_exp(x(start, quad, p.width) - top), quad, p.width, 0.0);
    }
    float inverse = pm_rcp(row_total(sum));
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        // Flushed, since drivers differ in what they make of a denormal.
        PM_ROWS_STORE(y, start, quad, p.width, pm_flush(pm_exp(x(start, quad, p.width) - top) * inverse));
    }
}
