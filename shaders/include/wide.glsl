// Unsigned integers of 64 bits as (low, high), and the fixed-point weights of draw_tokens.comp, which are
// multiples of 2^-40. Sums of integers are exact, so they are the same in every order.
#ifndef PUMICE_WIDE_GLSL
#define PUMICE_WIDE_GLSL

#include "exact.glsl"

uvec2 pm_wide_add(uvec2 a, uvec2 b)
{
    uint low = a.x + b.x;
    return uvec2(low, a.y + b.y + (low < a.x ? 1u : 0u));
}

bool pm_wide_less(uvec2 a, uvec2 b)
{
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// a f / 2^32, rounded down, or up.
uvec2 pm_wide_scale(uvec2 a, uint f, bool up)
{
    uint low_high, low_low, high_high, high_low;
    umulExtended(a.x, f, low_high, low_low);
    umulExtended(a.y, f, high_high, high_low);
    uvec2 product = pm_wide_add(uvec2(high_low, high_high), uvec2(low_high, 0));
    return pm_wide_add(product, uvec2(up && low_low != 0 ? 1 : 0, 0));
}

// |e| 2^40, rounded down, for |e| <= 1.
uvec2 pm_wide_of(float e)
{
    uint bits = floatBitsToUint(e) & 0x7fffffffu, fraction = (bits & 0x7fffffu) | 0x800000u;
    int shift = int(bits >> 23) - 110; // e = fraction 2^(shift - 40), shift <= 17
    uint left = uint(max(shift, 0)), right = uint(min(max(-shift, 0), 31));
    return uvec2((fraction << left) >> right, (fraction >> 1) >> (31 - left));
}

// a 2^-40.
float pm_wide_float(uvec2 a)
{
    return pm_float_of(a.y) * 0.00390625 + pm_float_of(a.x) * 9.09494702e-13;
}

// A float as an integer of the same order.
uint pm_ordered(float x)
{
    uint bits = floatBitsToUint(x);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

#endif
