// Random numbers for the elements of a tensor [samples, ...]: element e of sample s gets part e % 4 of
// pm_philox((e / 4, step, first sample + s, stream), seed). `counter` holds step, first sample, and the
// seed's two words.
//
// The including shader has declared `PM_INPUT_UINT(0, counter)` and defined `vec4 pm_draw(uvec4 bits)`: what
// four words of random bits become.
#ifndef PUMICE_DRAW_GLSL
#define PUMICE_DRAW_GLSL

#include "divisor.glsl"
#include "philox.glsl"

vec4 pm_draw_block(uint sample_index, uint block, uint stream)
{
    uvec4 place = uvec4(block, counter(0), counter(1) + sample_index, stream);
    return pm_draw(pm_philox(place, uvec2(counter(2), counter(3))));
}

// For elements 4i .. 4i+3 of the whole tensor. A sample whose length is no multiple of 4 ends amid a vector,
// which then takes its parts from several draws.
vec4 pm_draw_quad(uint i, pm_divisor sample_length, uint stream, bool aligned)
{
    if (aligned) {
        uint sample_index = pm_quotient(4 * i, sample_length);
        return pm_draw_block(sample_index, i - sample_index * (sample_length.n >> 2), stream);
    }
    vec4 v;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint sample_index = pm_quotient(4 * i + k, sample_length);
        uint element = 4 * i + k - sample_index * sample_length.n;
        vec4 drawn = pm_draw_block(sample_index, element >> 2, stream);
        uint part = element & 3;
        v[k] = part < 2 ? (part == 0 ? drawn.x : drawn.y) : (part == 2 ? drawn.z : drawn.w);
    }
    return v;
}

#endif
