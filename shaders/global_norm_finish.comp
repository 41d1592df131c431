#version 460
// The norm from the partial sums of global_norm.comp: infinite when an element is infinite or NaN.
#include "pumice.glsl"
#include "exact.glsl"

layout(push_constant) uniform Push
{
    PM_PUSH_COMMON
    uint count;
}
p;

PM_INPUT4(0, partial);
PM_OUTPUT4(1, norm);

#define PM_TREE_TYPE vec4
#include "tree_sum.glsl"

void main()
{
    vec4 mine = vec4(0.0);
    for (uint i = gl_LocalInvocationID.x; i < p.count; i += PM_TREE_LANES) mine += partial(i);
    vec4 sum = pm_tree_sum(mine);
    if (gl_LocalInvocationID.x != 0) return;
    // What is a range below the greatest one present is brought to its scale; two ranges below, it is beneath rounding.
    float result = 0.0;
    if (sum.z > 0.0) {
        // (2^-90)^2 is no f32: two factors. Squares of the middle range fall to 2^-92 2^-180 = 0 at the least.
        float scaled = sum.z + (sum.y * 8.0779356694631609e-28) * 8.0779356694631609e-28;
        result = pm_sqrt(scaled) * 1.2379400392853803e27; // 2^90
    } else if (sum.y > 0.0) {
        float scaled = sum.y + (sum.x * 8.2718061255302767e-25) * 8.2718061255302767e-25; // 2^-80
        result = pm_sqrt(scaled);
    } else {
        result = pm_sqrt(sum.x) * 8.2718061255302767e-25;
    }
    norm[0] = vec4(sum.w > 0.0 ? uintBitsToFloat(0x7f800000u) : result, 0.0, 0.0, 0.0);
}
