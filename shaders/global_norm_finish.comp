// The norm from the partial sums of global_norm.comp: infinite when an element is infinite or NaN.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT4(0, partial)
PM_OUTPUT4(1, norm);

const float LOWER = 8.0779356694631609e-28; // 2^-90

#define PM_TREE_TYPE vec4
#include "tree_sum.glsl"

void main()
{
    PM_EACH_LEAF(leaf)
    {
        vec4 mine = vec4(0.0);
        for (uint i = leaf; i < p.count; i += PM_TREE_LEAVES) mine += partial(i);
        pm_tree[leaf] = mine;
    }
    vec4 sum = pm_tree_sum();
    if (gl_LocalInvocationID.x != 0) return;
    // The range below the greatest one present is brought to its scale; two ranges below, it is beneath
    // rounding. Scaled before it is squared: 2^-180 is no f32, and precision f32 may merge two factors into
    // one.
    float result;
    if (sum.z > 0.0) {
        float below = pm_sqrt(sum.y) * LOWER;
        result = pm_sqrt(sum.z + below * below) * 1.2379400392853803e27; // 2^90
    } else if (sum.y > 0.0) {
        float below = pm_sqrt(sum.x) * 8.2718061255302767e-25; // 2^-80
        result = pm_sqrt(sum.y + below * below);
    } else {
        result = pm_sqrt(sum.x) * 8.2718061255302767e-25;
    }
    norm[0] = vec4(sum.w > 0.0 ? uintBitsToFloat(0x7f800000u) : result, 0.0, 0.0, 0.0);
}
