// dx = y (dy - sum of dy y over the row), a lane a row. Since the y of a row add up to 1, the same number may
// be taken from every dy; it is the dy of the largest y, so that little cancels where that y is nearly 1.
// Reference: reference_softmax_backward in runtime/ops/softmax.c.
#include "rows.glsl"

layout(push_constant) uniform Push {
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
    vec4 largest = vec4(0.0), its_dy = vec4(0.0);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        vec4 here = y(start, quad, p.width);
        bvec4 larger = greaterThan(here, largest);
        largest = mix(largest, here, larger);
        its_dy = mix(its_dy, dy(start, quad, p.width), larger);
    }
    vec2 pair = largest.x < largest.y ? vec2(largest.y, its_dy.y) : vec2(largest.x, its_dy.x);
    pair = pair.x < largest.z ? vec2(largest.z, its_dy.z) : pair;
    pair = pair.x < largest.w ? vec2(largest.w, its_dy.w) : pair;

    vec4 sum = vec4(0.0);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        sum = PM_MAD(y(start, quad, p.width), dy(start, quad, p.width) - pair.y, sum);
    }
    float inner = row_total(sum);
    for (uint quad = 0; 4 * quad < p.width; quad++) {
        vec4 centered = dy(start, quad, p.width) - pair.y;
        PM_ROWS_STORE(dx, start, quad, p.width, y(start, quad, p.width) * (centered - inner));
    }
}
