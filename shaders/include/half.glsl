// f32 rounded to the nearest number of f16, to the even one of two that are as near. Reference: half_of in
// tests/test_fast.c.
#ifndef PUMICE_HALF_GLSL
#define PUMICE_HALF_GLSL

float pm_half(float x)
{
    const uint LEAST_NORMAL = 0x38800000u, BEYOND = 0x47800000u, INFINITE = 0x7f800000u; // 2^-14, 2^16
    uint bits = floatBitsToUint(x), sign = bits & 0x80000000u, size = bits & 0x7fffffffu;
    uint normal = (size + 0xfffu + (size >> 13 & 1u)) & ~0x1fffu; // 13 bits fewer
    normal = normal >= BEYOND ? max(size, INFINITE) : normal;     // NaN stays
    precise float shifted = uintBitsToFloat(size) + 0.5; // whose last bit is 2^-24
    precise float tiny = shifted - 0.5;
    return uintBitsToFloat(sign | (size < LEAST_NORMAL ? floatBitsToUint(tiny) : normal));
}

vec4 pm_half(vec4 v) { return vec4(pm_half(v.x), pm_half(v.y), pm_half(v.z), pm_half(v.w)); }

#endif
