// What the two passes of a draw from a softmax share; runtime/ops/random.c has the same numbers.
#ifndef PUMICE_CATEGORICAL_GLSL
#define PUMICE_CATEGORICAL_GLSL

#include "exact.glsl"

const uint PM_CATEGORICAL_CHUNK = 128;
const float PM_LOWEST = -3e38;

// exp(logit - maximum); 0 for minus infinity and below 2^-100, so that no denormal decides.
float pm_weight(float logit, float maximum)
{
    float x = logit - maximum;
    return x > -69.0 ? pm_exp(x) : 0.0;
}

#endif
