// Partial sums of squares, in three ranges so that no square leaves the range of f32: of small elements times
// 2^80, of ordinary ones, of large ones times 2^-90; and the number of elements that are infinite or NaN.
// Reference: reference_norm in runtime/ops/optimizer.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT4(0, x)
PM_OUTPUT4(1, partial);

#include "chunk_sum.glsl"

const float LARGE = 7.0368744e13;       // 2^46
const float SMALL = 1.42108547e-14;     // 2^-46
const float RAISE = 1.20892582e24;      // 2^80
const float LOWER = 8.0779356694631609e-28; // 2^-90

float sum_of(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

void main()
{
    vec4 small = vec4(0.0), middle = vec4(0.0), large = vec4(0.0), broken = vec4(0.0);
    PM_EACH_CHUNK_QUAD(i, p.count)
    {
        vec4 v = PM_CHUNK_KEEP(x(i), i, p.count);
        bvec4 is_broken = greaterThanEqual(floatBitsToUint(v) & 0x7fffffffu, uvec4(0x7f800000u));
        v = abs(pm_flush(mix(v, vec4(0.0), is_broken)));
        bvec4 is_small = lessThan(v, vec4(SMALL)), is_large = lessThan(vec4(LARGE), v);
        vec4 s = mix(vec4(0.0), v, is_small) * RAISE;
        vec4 l = mix(vec4(0.0), v, is_large) * LOWER;
        vec4 m = mix(mix(v, vec4(0.0), is_small), vec4(0.0), is_large);
        small += s * s;
        middle += m * m;
        large += l * l;
        broken += mix(vec4(0.0), vec4(1.0), is_broken);
    }
    partial[PM_CHUNK_PARTIAL] = vec4(sum_of(small), sum_of(middle), sum_of(large), sum_of(broken));
}
