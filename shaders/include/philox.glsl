// Random numbers by counting: the GLSL half of runtime/base/philox.h, with the same bits; philox.c explains
// each step. key = (seed low, seed high), counter = (element / 4, step, sample, stream).
#ifndef PUMICE_PHILOX_GLSL
#define PUMICE_PHILOX_GLSL

#include "exact.glsl"

#define PM_STREAM_PERMUTE 0xffffffffu

uvec4 pm_philox(uvec4 counter, uvec2 key)
{
    [[unroll]] for (int i = 0; i < 10; i++) {
        uint high0, low0, high1, low1;
        umulExtended(0xd2511f53u, counter.x, high0, low0);
        umulExtended(0xcd9e8d57u, counter.z, high1, low1);
        counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += uvec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return counter;
}

// Uniform in [0, 1), and in (0, 1]; multiples of 2^-24.
float pm_uniform01(uint bits) { return float(bits >> 8) * 5.96046448e-08; }
vec4 pm_uniform01(uvec4 bits) { return vec4(bits >> 8) * 5.96046448e-08; }
float pm_uniform01_positive(uint bits) { return float((bits >> 8) + 1u) * 5.96046448e-08; }
vec4 pm_uniform01_positive(uvec4 bits) { return vec4((bits >> 8) + 1u) * 5.96046448e-08; }

// Uniform integer below n.
uint pm_below(uint bits, uint n)
{
    uint high, low;
    umulExtended(bits, n, high, low);
    return high;
}

// Whether something of probability `rate` happens.
bool pm_happens(uint bits, float rate)
{
    if (rate >= 1.0) return true;
    return rate > 0.0 && bits < uint(rate * 4294967296.0);
}

// Exponentially distributed, as fine near 0 as elsewhere.
float pm_exponential(uint bits)
{
    float v = (pm_float_of(~bits) + 0.5) * 2.32830644e-10;
    if (bits >= 0xf8000000u) return v + v * v * (0.5 + v * (0.333333333 + v * (0.25 + v * 0.2)));
    return -pm_log((pm_float_of(bits) + 0.5) * 2.32830644e-10);
}

vec2 pm_normal2(uint radius_bits, uint angle_bits)
{
    float radius = pm_sqrt(-2.0 * pm_log(pm_uniform01_positive(radius_bits)));
    float turns = pm_uniform01(angle_bits);
    return vec2(radius * pm_cos_turns(turns), radius * pm_sin_turns(turns));
}

// Four independent standard normals.
vec4 pm_normal4(uvec4 bits)
{
    return vec4(pm_normal2(bits.x, bits.y), pm_normal2(bits.z, bits.w));
}

uint pm_mix_half(uint x)
{
    x *= 0x9e3779b1u;
    x ^= x >> 15;
    x *= 0x85ebca77u;
    x ^= x >> 13;
    x *= 0xc2b2ae3du;
    return x ^ (x >> 16);
}

// Where i goes in the random permutation of 0 .. n-1 that key and epoch choose.
uint pm_permute(uint i, uint n, uvec2 key, uint epoch)
{
    if (n < 2u) return 0u;
    uint half_bits = 0u;
    while (half_bits < 16u && ((n - 1u) >> (2u * half_bits)) != 0u) half_bits++;
    uint mask = (1u << half_bits) - 1u;
    uvec4 keys = pm_philox(uvec4(n, epoch, 0u, PM_STREAM_PERMUTE), key);
    for (int walk = 0; walk < 1024; walk++) {
        uint left = i >> half_bits;
        uint right = i & mask;
        [[unroll]] for (uint k = 0u; k < 8u; k++) {
            uint next = left ^ (pm_mix_half(right + keys[k & 3u] + k) & mask);
            left = right;
            right = next;
        }
        i = (left << half_bits) | right;
        if (i < n) return i;
    }
    return n - 1u;
}

#endif
