// Partial sums of weight * (prediction - target)^2. Reference: reference_mse in runtime/ops/loss.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const uint WEIGHT = 0;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint size;
} p;

PM_INPUT4(0, prediction)
PM_INPUT4(1, target)
PM_INPUT4(2, weight_of_element)
PM_INPUT(3, weight_of_sample)
PM_OUTPUT(4, partial);

#include "chunk_sum.glsl"
#include "loss_weight.glsl"

void main()
{
    vec4 sum = vec4(0.0);
    PM_EACH_CHUNK_QUAD(i, p.count)
    {
        vec4 d = prediction(i) - target(i);
        // A square that is denormal would be kept by some drivers and flushed by others.
        vec4 square = pm_flush(weighted(pm_flush(d * d), i, p.base * PM_CHUNK_QUADS + i));
        sum += PM_CHUNK_KEEP(square, i, p.count);
    }
    partial[PM_CHUNK_PARTIAL] = (sum.x + sum.y) + (sum.z + sum.w);
}
