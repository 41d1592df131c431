// y = x scale, or 0 where the element's uniform number is below `probability`. Its own gradient, too: the
// mask is drawn anew. Reference: reference_dropout in runtime/ops/dropout.c.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"
#include "philox.glsl"

layout(constant_id = 1) const bool ALIGNED = false; // samples are multiples of four elements

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint stream;
    pm_divisor sample_length;
    float probability;
    float scale;
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT4(1, x)
PM_OUTPUT4(2, y);

#include "each_quad.glsl"

vec4 pm_draw(uvec4 bits)
{
    return pm_uniform01(bits);
}

#include "draw.glsl"

void main()
{
    pm_divisor sample_length = p.sample_length;
    uint first = p.base * PM_QUADS_PER_GROUP;
    PM_EACH_QUAD(i, p.count)
    {
        vec4 u = pm_draw_quad(first + i, sample_length, p.stream, ALIGNED);
        vec4 v = mix(x(i) * p.scale, vec4(0.0), lessThan(u, vec4(p.probability)));
        y[i] = PM_KEEP(v, i, p.count);
    }
}
