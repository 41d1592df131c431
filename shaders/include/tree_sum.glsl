// The last stage of a long sum: 256 lanes, each with a sum of its own, to one total in a fixed tree. Define
// PM_TREE_TYPE (float or vec4) before. The workgroup must have 256 lanes, and all of them must call.
#ifndef PUMICE_TREE_SUM_GLSL
#define PUMICE_TREE_SUM_GLSL

const uint PM_TREE_LANES = 256;

shared PM_TREE_TYPE pm_tree[PM_TREE_LANES];

PM_TREE_TYPE pm_tree_sum(PM_TREE_TYPE mine)
{
    uint lane = gl_LocalInvocationID.x;
    pm_tree[lane] = mine;
    barrier();
    for (uint half_ = PM_TREE_LANES / 2; half_ > 0; half_ /= 2) {
        if (lane < half_) pm_tree[lane] += pm_tree[lane + half_];
        barrier();
    }
    return pm_tree[0];
}

#endif
