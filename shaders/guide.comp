// u + w (c - u) of the conditional and the unconditional half of a batch; c itself, bit for bit, where w is
// 1. Reference: reference_guide in runtime/ops/diffusion.c.
#version 460
#include "pumice.glsl"

// Where the second half is: behind the first, at a group of four or not; or in a tensor of its own, and then
// both are bound from the piece on.
layout(constant_id = 1) const uint HALVES = 0;
const uint RAGGED = 1, APART = 2;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // of a half
} p;

PM_INPUT4(0, first_half)
PM_INPUT4(1, halves4)
PM_INPUT(2, halves)
PM_INPUT(3, weight)
PM_OUTPUT4(4, y);

#include "each_quad.glsl"

vec4 unconditional(uint quad)
{
    if (HALVES != RAGGED) return halves4(p.count / 4 + quad);
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
        vec4 c = first_half(HALVES == APART ? i : quad);
        vec4 u = HALVES == APART ? halves4(i) : unconditional(quad);
        vec4 v = PM_MAD(vec4(w), c - u, u);
        y[i] = PM_KEEP(w == 1.0 ? c : v, i, p.count);
    }
}
