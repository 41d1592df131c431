// What a device makes of float arithmetic: eighteen results for each triple of operands, as bits. A probe: it
// uses what shaders otherwise may not, says `precise` itself, and is compiled in precision f32 alone.
// Reference: runtime/plan/arithmetic.c, which names the results in the same order.
#version 460
#include "pumice.glsl"

#define PM_RESULTS 18

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint triples;
} p;

PM_INPUT_UINT(0, operands)
PM_OUTPUT_UINT(1, results);

void main()
{
    if (PM_INVOCATION >= p.triples) return;
    uint i = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x; // of this piece
    uint bits = operands(3 * i);
    float a = uintBitsToFloat(bits), b = uintBitsToFloat(operands(3 * i + 1));
    float c = uintBitsToFloat(operands(3 * i + 2));
    precise float sum = a + b, difference = a - b, product = a * b, product_sum = a * b + c;
    results[PM_RESULTS * i] = floatBitsToUint(sum);
    results[PM_RESULTS * i + 1] = floatBitsToUint(difference);
    results[PM_RESULTS * i + 2] = floatBitsToUint(product);
    results[PM_RESULTS * i + 3] = floatBitsToUint(product_sum);
    results[PM_RESULTS * i + 4] = floatBitsToUint(float(bits >> 8));
    results[PM_RESULTS * i + 5] = floatBitsToUint(float(int(bits) >> 8));
    results[PM_RESULTS * i + 6] = uint(int(a));
    results[PM_RESULTS * i + 7] = uint(a);
    results[PM_RESULTS * i + 8] = floatBitsToUint(floor(a));
    results[PM_RESULTS * i + 9] = floatBitsToUint(roundEven(a));
    results[PM_RESULTS * i + 10] = floatBitsToUint(min(a, b));
    results[PM_RESULTS * i + 11] = floatBitsToUint(max(a, b));
    results[PM_RESULTS * i + 12] = floatBitsToUint(fma(a, b, c));
    results[PM_RESULTS * i + 13] = floatBitsToUint(a / b);
    results[PM_RESULTS * i + 14] = floatBitsToUint(sqrt(a));
    results[PM_RESULTS * i + 15] = floatBitsToUint(float(bits));
    results[PM_RESULTS * i + 16] = floatBitsToUint(float(int(bits)));
    results[PM_RESULTS * i + 17] = bits;
}
