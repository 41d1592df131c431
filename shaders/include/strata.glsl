// 32 random bits for each sample of a batch, or bits for all of them spread evenly: one draw for the first,
// and each next one a B-th of 2^32 further, modulo 2^32. Host half: bits_of in runtime/ops/mask_times.c.
//
// The including shader has declared `PM_INPUT_UINT(0, counter)`.
#ifndef PUMICE_STRATA_GLSL
#define PUMICE_STRATA_GLSL

#include "philox.glsl"

// Of samples 4 quad .. 4 quad + 3 of the batch.
uvec4 pm_strata(uint quad, uint stream, bool stratified, uint spacing)
{
    uvec2 key = uvec2(counter(2), counter(3));
    if (stratified) {
        uint first = pm_philox(uvec4(0, counter(0), counter(1), stream), key).x;
        return first + (4 * quad + uvec4(0, 1, 2, 3)) * spacing;
    }
    uvec4 bits;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        bits[k] = pm_philox(uvec4(0, counter(0), counter(1) + 4 * quad + k, stream), key).x;
    }
    return bits;
}

#endif
