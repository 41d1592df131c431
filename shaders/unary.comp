// y = f(x), element by element, and dx = dy f'(x). Reference: reference_unary in runtime/ops/elementwise.c.
#version 460
#include "pumice.glsl"
#include "activation.glsl"

layout(constant_id = 1) const uint FUNCTION = 0;
layout(constant_id = 2) const bool BACKWARD = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    float alpha;
    float beta;
} p;

PM_INPUT4(0, x)
PM_INPUT4(1, dy)
PM_OUTPUT4(2, y);

#include "each_quad.glsl"

const uint AFFINE = 0;

vec4 forward(vec4 v)
{
    if (FUNCTION == AFFINE) return PM_MAD(vec4(p.alpha), v, vec4(p.beta));
    return pm_activation(FUNCTION, v);
}

vec4 slope(vec4 v)
{
    switch (FUNCTION) {
    case SILU: return pm_silu_grad(v);
    case GELU: return pm_gelu_grad(v);
    case SIGMOID: { vec4 s = pm_sigmoid(v); return s * (1.0 - s); }
    case TANH: { vec4 t = pm_tanh(v); return 1.0 - t * t; }
    default: return vec4(p.alpha);
    }
}

void main()
{
    PM_EACH_QUAD(i, p.count)
    {
        vec4 v = BACKWARD ? dy(i) * slope(x(i)) : forward(x(i));
        y[i] = PM_KEEP(v, i, p.count);
    }
}
