// Draws from softmax(logits), first pass: of each chunk of a row the maximum, and the sum of exp(logit -
// maximum) in order. Reference: reference_categorical in runtime/ops/random.c.
#version 460
#include "pumice.glsl"
#include "categorical.glsl"
#include "slab.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    uint width;        // of a row
    pm_divisor chunks; // in a row
} p;

PM_INPUT(0, logits)
PM_OUTPUT(1, partial); // [rows, chunks, 2]

void main()
{
    uint here = PM_SLAB_HERE, width = p.width;
    pm_divisor chunks = p.chunks;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(here + i, chunks), chunk = here + i - row * chunks.n;
        uint begin = row * width + chunk * PM_CATEGORICAL_CHUNK;
        uint end = min(begin + PM_CATEGORICAL_CHUNK, (row + 1) * width);
        float maximum = PM_LOWEST, sum = 0.0;
        for (uint k = begin; k < end; k++) maximum = max(maximum, logits(k));
        for (uint k = begin; k < end; k++) sum += pm_weight(logits(k), maximum);
        partial[2 * (here + i)] = maximum;
        partial[2 * (here + i) + 1] = sum;
    }
}
