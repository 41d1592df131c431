// Which images a batch takes, and whether each is mirrored (the top bit), and their labels. Reference: choose
// in runtime/ops/batch.c.
#version 460
#define PM_WINDOW_ID 3
#include "pumice.glsl"
#include "window.glsl"
#include "philox.glsl"

layout(constant_id = 1) const bool MIRROR = false;
layout(constant_id = 2) const uint STREAM = 0;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint batch;
    uint images;
    PM_PUSH_WINDOW // of all_labels
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT_UINT(1, all_labels)
PM_OUTPUT_UINT(2, chosen);
PM_OUTPUT_UINT(3, labels);

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i >= p.batch) return;
    uvec2 key = uvec2(counter(2), counter(3));
    uint number = counter(0) * p.batch + counter(1) + i;
    uint epoch = number / p.images;
    uint image = pm_permute(number - epoch * p.images, p.images, key, epoch);
    uint mirrored = MIRROR ? pm_philox(uvec4(0, counter(0), counter(1) + i, STREAM), key).x & 0x80000000u : 0;
    chosen[i] = image | mirrored;
    if (!IN_WINDOWS || PM_IN_WINDOW(image)) labels[i] = all_labels(PM_WINDOW_AT(image));
}
