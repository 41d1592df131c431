// How many tokens of each row to mask, k uniform on 1 .. L, and the weight L/k. Reference:
// reference_mask_counts in runtime/ops/mask_times.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const bool STRATIFIED = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint batch;
    uint stream;
    uint spacing;
    uint row_length;
} p;

PM_INPUT_UINT(0, counter)
PM_OUTPUT_UINT(1, counts);
PM_OUTPUT4(2, weights);

#include "each_quad.glsl"
#include "strata.glsl"

void main()
{
    PM_EACH_QUAD(i, p.batch)
    {
        uvec4 bits = pm_strata(p.base * PM_QUADS_PER_GROUP + i, p.stream, STRATIFIED, p.spacing);
        vec4 weight;
        [[unroll]] for (uint k = 0; k < 4; k++) {
            uint count = 1 + pm_below(bits[k], p.row_length);
            weight[k] = pm_div(float(p.row_length), float(count));
            if (4 * i + k < PM_COUNT_HERE(p.batch)) counts[4 * i + k] = count;
        }
        weights[i] = PM_KEEP(weight, i, p.batch);
    }
}
