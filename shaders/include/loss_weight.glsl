// The optional weights of the squared error: none, one per element, or one per sample. Needs
// `weight_of_element` (groups of four) and `weight_of_sample` as inputs, and p.size (elements of a sample)
// and p.count.
#ifndef PUMICE_LOSS_WEIGHT_GLSL
#define PUMICE_LOSS_WEIGHT_GLSL

#include "per_sample.glsl"

const uint WEIGHT_NONE = 0, WEIGHT_ELEMENT = 1, WEIGHT_SAMPLE = 2; // as in runtime/ops/loss.c

// v times the weights of group `i` of this piece, which is number `quad` of the whole tensor.
vec4 weighted(vec4 v, uint i, uint quad)
{
    if (WEIGHT == WEIGHT_ELEMENT) return v * weight_of_element(i);
    if (WEIGHT == WEIGHT_SAMPLE) return v * PM_PER_SAMPLE(weight_of_sample, quad, p.size, p.count);
    return v;
}

#endif
