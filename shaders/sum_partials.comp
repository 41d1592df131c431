// total = scale * (the sum of n partial sums), by one workgroup. Used by runtime/ops/loss.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    float scale;
} p;

PM_INPUT(0, partial)
PM_OUTPUT4(1, total);

#define PM_TREE_TYPE float
#include "tree_sum.glsl"

void main()
{
    PM_EACH_LEAF(leaf)
    {
        float mine = 0.0;
        for (uint i = leaf; i < p.count; i += PM_TREE_LEAVES) mine += partial(i);
        pm_tree[leaf] = mine;
    }
    float sum = pm_tree_sum();
    if (gl_LocalInvocationID.x == 0) total[0] = vec4(pm_flush(p.scale * sum), 0.0, 0.0, 0.0);
}
