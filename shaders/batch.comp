// A batch of images, as batch_select.comp chose them: bytes to numbers in [-1, 1]. Reference: reference_batch
// in runtime/ops/batch.c.
#version 460
#define PM_WINDOW_ID 2
#include "pumice.glsl"
#include "divisor.glsl"
#include "window.glsl"

// Every image is whole words of four bytes, and none is mirrored; else bytes are found one by one.
layout(constant_id = 1) const bool WORDS = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // elements of the batch
    pm_divisor image, row, pixel; // elements of one
    PM_PUSH_WINDOW                // in words
} p;

PM_INPUT_UINT(0, pixels) // four bytes each
PM_INPUT_UINT(1, chosen)
PM_INOUT4(2, y);

#include "each_quad.glsl"

// The place of the byte that element i of the batch is made of.
uint place_of(uint i)
{
    uint number = pm_quotient(i, p.image), place = i - number * p.image.n;
    uint image = chosen(number);
    if ((image & 0x80000000u) != 0) {
        uint along = place - pm_quotient(place, p.row) * p.row.n;
        uint channel = along - pm_quotient(along, p.pixel) * p.pixel.n;
        place += p.row.n - p.pixel.n - 2 * (along - channel);
    }
    return (image & 0x7fffffffu) * p.image.n + place;
}

// The four bytes of group i of the batch, and whether the window has each.
uvec4 bytes_of(uint i, out bvec4 inside)
{
    inside = bvec4(true);
    if (WORDS) {
        uint number = pm_quotient(4 * i, p.image), words = p.image.n >> 2;
        uint at = chosen(number) * words + (i - number * words);
        if (IN_WINDOWS) inside = bvec4(PM_IN_WINDOW(at));
        uint word = pixels(!IN_WINDOWS || inside.x ? PM_WINDOW_AT(at) : 0);
        return uvec4(word, word >> 8, word >> 16, word >> 24) & 0xffu;
    }
    uvec4 bytes;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint at = place_of(min(4 * i + k, p.count - 1));
        if (IN_WINDOWS) inside[k] = PM_IN_WINDOW(at >> 2);
        bytes[k] = pixels(!IN_WINDOWS || inside[k] ? PM_WINDOW_AT(at >> 2) : 0) >> (8 * (at & 3)) & 0xffu;
    }
    return bytes;
}

void main()
{
    PM_EACH_QUAD(i, p.count)
    {
        bvec4 inside;
        uvec4 bytes = bytes_of(p.base * PM_QUADS_PER_GROUP + i, inside);
        // Of value / 127.5 - 1; the constant is 2/255.
        vec4 v = PM_MAD(vec4(bytes), vec4(0.00784313725), vec4(-1.0));
        if (IS_LATER) v = mix(y[i], v, inside);
        y[i] = PM_KEEP(v, i, p.count);
    }
}
