// Draws from softmax(logits), second pass, one lane a row: which chunk, then which element, passes u times
// the whole sum first. Reference: reference_categorical in runtime/ops/random.c.
#version 460
#include "pumice.glsl"
#include "categorical.glsl"
#include "philox.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint width;
    uint chunks;
    uint stream;
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT(1, logits)
PM_INPUT(2, partial)
PM_OUTPUT_UINT(3, y);

void main()
{
    uint here = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint row = p.base * gl_WorkGroupSize.x + here;
    if (row >= p.rows) return;
    uint first = 2 * here * p.chunks;

    float maximum = PM_LOWEST, total = 0.0;
    for (uint c = 0; c < p.chunks; c++) maximum = max(maximum, partial(first + 2 * c));
    for (uint c = 0; c < p.chunks; c++) {
        total += partial(first + 2 * c + 1) * pm_weight(partial(first + 2 * c), maximum);
    }

    uvec4 place = uvec4(0, counter(0), counter(1) + row, p.stream);
    float target = pm_uniform01(pm_philox(place, uvec2(counter(2), counter(3))).x) * total;

    // The chunk: the first whose running sum is beyond the target. `before` is the running sum up to it.
    uint chunk = 0;
    float running = 0.0, before = 0.0, scale = 0.0;
    for (uint c = 0; c < p.chunks && running <= target; c++) {
        float chunk_scale = pm_weight(partial(first + 2 * c), maximum);
        float sum = partial(first + 2 * c + 1) * chunk_scale;
        if (sum > 0.0) {
            chunk = c;
            before = running;
            scale = chunk_scale;
        }
        running += sum;
    }

    // The element in it. Rounding may leave the sum of the chunk's elements short of the target: then it is
    // the last one that can be drawn at all.
    uint begin = chunk * PM_CATEGORICAL_CHUNK, end = min(begin + PM_CATEGORICAL_CHUNK, p.width);
    float chunk_maximum = partial(first + 2 * chunk);
    uint drawn = begin;
    running = before;
    for (uint i = begin; i < end && running <= target; i++) {
        float weight = pm_flush(pm_weight(logits(here * p.width + i), chunk_maximum) * scale);
        if (weight > 0.0) drawn = i;
        running += weight;
    }
    y[here] = drawn;
}
