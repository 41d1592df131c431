// What a device makes of float arithmetic: sixteen results for each triple of operands, as bits. A probe: it
// uses what shaders otherwise may not, says `precise` itself, and is compiled in precision f32 alone.
// Reference: runtime/plan/arithmetic.c, which names the results in the same order.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint triples;
} p;

PM_INPUT_UINT(0, operands)
PM_OUTPUT_UINT(1, results);

void main()
{
    uint i = PM_INVOCATION;
    if (i >= p.triples) return;
    uint bits = operands(3 * i);
    float a = uintBitsToFloat(bits), b = uintBitsToFloat(operands(3 * i + 1));
    float c = uintBitsToFloat(operands(3 * i + 2));
    precise float sum = a + b, difference = a - b, product = a * b, product_sum = a * b + c;
    results[16 * i] = floatBitsToUint(sum);
    results[16 * i + 1] = floatBitsToUint(difference);
    results[16 * i + 2] = floatBitsToUint(product);
    results[16 * i + 3] = floatBitsToUint(product_sum);
    results[16 * i + 4] = floatBitsToUint(float(bits));
    results[16 * i + 5] = floatBitsToUint(float(int(bits)));
    results[16 * i + 6] = uint(int(a));
    results[16 * i + 7] = uint(a);
    results[16 * i + 8] = floatBitsToUint(floor(a));
    results[16 * i + 9] = floatBitsToUint(roundEven(a));
    results[16 * i + 10] = floatBitsToUint(min(a, b));
    results[16 * i + 11] = floatBitsToUint(max(a, b));
    results[16 * i + 12] = floatBitsToUint(fma(a, b, c));
    results[16 * i + 13] = floatBitsToUint(a / b);
    results[16 * i + 14] = floatBitsToUint(sqrt(a));
    results[16 * i + 15] = bits;
}
