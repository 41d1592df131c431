// The last stage of a long sum, by one workgroup: `count` terms go into 256 leaves in turn, and these add up in a
// fixed tree. The workgroup's size is a power of two up to 256 and changes no bit. Define PM_TREE_TYPE (float or
// vec4) before. All lanes must call.
#ifndef PUMICE_TREE_SUM_GLSL
#define PUMICE_TREE_SUM_GLSL

const uint PM_TREE_LEAVES = 256;

shared PM_TREE_TYPE pm_tree[PM_TREE_LEAVES];

// Each leaf in turn, of those that are this lane's.
#define PM_EACH_LEAF(leaf) \
    for (uint leaf = gl_LocalInvocationID.x; leaf < PM_TREE_LEAVES; leaf += gl_WorkGroupSize.x)

// The total of what the lanes have put into pm_tree.
PM_TREE_TYPE pm_tree_sum()
{
    barrier();
    for (uint half_ = PM_TREE_LEAVES / 2; half_ > 0; half_ /= 2) {
        for (uint leaf = gl_LocalInvocationID.x; leaf < half_; leaf += gl_WorkGroupSize.x) {
            pm_tree[leaf] += pm_tree[leaf + half_];
        }
        barrier();
    }
    return pm_tree[0];
}

#endif
