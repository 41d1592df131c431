// Standard normals, or uniforms on [0,1), for the elements of [samples, ...]. Reference: reference_random in
// runtime/ops/random.c.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"
#include "philox.glsl"

layout(constant_id = 1) const bool NORMAL = false;
layout(constant_id = 2) const bool ALIGNED = false; // samples are multiples of four elements

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint stream;
    pm_divisor sample_length;
} p;

PM_INPUT_UINT(0, counter)
PM_OUTPUT4(1, y);

#include "each_quad.glsl"

vec4 pm_draw(uvec4 bits)
{
    return NORMAL ? pm_normal4(bits) : pm_uniform01(bits);
}

#include "draw.glsl"

void main()
{
    pm_divisor sample_length = p.sample_length;
    uint first = p.base * PM_QUADS_PER_GROUP;
    PM_EACH_QUAD(i, p.count)
    {
        vec4 v = pm_draw_quad(first + i, sample_length, p.stream, ALIGNED);
        y[i] = PM_KEEP(v, i, p.count);
    }
}
