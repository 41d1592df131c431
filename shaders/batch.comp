// A batch of images, as batch_select.comp chose them: bytes to numbers in [-1, 1]. Reference: reference_batch
// in runtime/ops/batch.c.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"

// Every image is whole words of four bytes, and none is mirrored; else bytes are found one by one.
layout(constant_id = 1) const bool WORDS = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // elements of the batch
    pm_divisor image, row, pixel; // elements of one
} p;

PM_INPUT_UINT(0, pixels) // four bytes each
PM_INPUT_UINT(1, chosen)
PM_OUTPUT4(2, y);

#include "each_quad.glsl"

// The byte that element i of the batch is made of.
uint byte_of(uint i)
{
    uint number = pm_quotient(i, p.image), place = i - number * p.image.n;
    uint image = chosen(number);
    if ((image & 0x80000000u) != 0) {
        uint along = place - pm_quotient(place, p.row) * p.row.n;
        uint channel = along - pm_quotient(along, p.pixel) * p.pixel.n;
        place += p.row.n - p.pixel.n - 2 * (along - channel);
    }
    uint at = (image & 0x7fffffffu) * p.image.n + place;
    return pixels(at >> 2) >> (8 * (at & 3)) & 0xffu;
}

uvec4 bytes_of(uint i)
{
    if (WORDS) {
        uint number = pm_quotient(4 * i, p.image), words = p.image.n >> 2;
        uint word = pixels(chosen(number) * words + (i - number * words));
        return uvec4(word, word >> 8, word >> 16, word >> 24) & 0xffu;
    }
    uvec4 bytes;
    [[unroll]] for (uint k = 0; k < 4; k++) bytes[k] = byte_of(min(4 * i + k, p.count - 1));
    return bytes;
}

void main()
{
    PM_EACH_QUAD(i, p.count)
    {
        // Of value / 127.5 - 1; the constant is 2/255.
        vec4 v = PM_MAD(vec4(bytes_of(p.base * PM_QUADS_PER_GROUP + i)), vec4(0.00784313725), vec4(-1.0));
        y[i] = PM_KEEP(v, i, p.count);
    }
}
