// One random choice a sample, by its element 0: an index below n, or a label replaced by another. Reference:
// reference_random_index and reference_drop_labels in runtime/ops/random.c.
#version 460
#include "pumice.glsl"
#include "philox.glsl"

layout(constant_id = 1) const bool DROP = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint stream;
    uint n; // DROP: the label that replaces others
    float probability;
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT_UINT(1, labels)
PM_OUTPUT_UINT(2, y);

void main()
{
    uint here = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint i = p.base * gl_WorkGroupSize.x + here;
    if (i >= p.count) return;
    uvec4 place = uvec4(0, counter(0), counter(1) + i, p.stream);
    uint bits = pm_philox(place, uvec2(counter(2), counter(3))).x;
    if (DROP) {
        y[here] = pm_uniform01(bits) < p.probability ? p.n : labels(here);
    } else {
        y[here] = pm_below(bits, p.n);
    }
}
