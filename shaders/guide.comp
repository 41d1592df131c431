// u + w (c - u) of the conditional and the unconditional half of a batch; c itself, bit for bit, where w is
// 1. Reference: reference_guide in runtime/ops/diffusion.c.
#version 460
#include "pumice.glsl"

layout(constant_id = 1) const bool RAGGED = false; // the second half does not begin at a group of four

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // of a half
} p;

PM_INPUT4(0, halves4)
PM_INPUT(1, halves)
PM_INPUT(2, weight)
PM_OUTPUT4(3, y);

#include "each_quad.glsl"

vec4 unconditional(uint quad)
{
    if (!RAGGED) return halves4(p.count / 4 + quad);
    uint first = p.count + 4 * quad, last = 2 * p.count - 1;
    return vec4(halves(first), halves(min(first + 1, last)), halves(min(first + 2, last)),
                halves(min(first + 3, last)));
}

void main()
{
    float w = weight(0);
    PM_EACH_QUAD(i, p.count)
    {
        uint quad = p.base * PM_QUADS_PER_GROUP + i;
        vec4 c = halves4(quad), u = unconditional(quad);
        vec4 v = PM_MAD(vec4(w), c - u, u);
        y[i] = PM_KEEP(w == 1.0 ? c : v, i, p.count);
    }
}
