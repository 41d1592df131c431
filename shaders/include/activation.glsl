// Activations by number, as in runtime/ops/elementwise.h.
#ifndef PUMICE_ACTIVATION_GLSL
#define PUMICE_ACTIVATION_GLSL

#include "exact.glsl"

const uint SILU = 1, GELU = 2, SIGMOID = 3, TANH = 4;

vec4 pm_activation(uint function, vec4 v)
{
    switch (function) {
    case SILU: return pm_silu(v);
    case GELU: return pm_gelu(v);
    case SIGMOID: return pm_sigmoid(v);
    case TANH: return pm_tanh(v);
    default: return v;
    }
}

#endif
