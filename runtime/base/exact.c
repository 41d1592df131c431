/* The C half of the exact elementary functions; exact.glsl is the other. Compile with -ffp-contract=off: a
 * fused multiply-add rounds once where the GPU rounds twice.
 *
 * Coefficients are minimax fits (Remez exchange, in 40 digits) of the functions named beside them. */
#include "base/exact.h"

#include "base/bits.h"

#include <float.h>
#include <math.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

_Static_assert(FLT_EVAL_METHOD == 0,
               "exact arithmetic needs float expressions evaluated as float (SSE, not x87)");

#define TINY 7.88860905e-31f /* 2^-100 */

/* Conversion of a whole number, |x| < 2^22: to it plus 1.5 2^23 it is what the mantissa counts. Shaders do so
 * since newer drivers of CPUs convert one lane at a time. NaN may give anything: the callers' results are NaN
 * by another way. */
static int32_t whole(float x)
{
    return (int32_t)(pm_bits_of(x + 12582912.0f) - 0x4b400000u);
}

/* x limited to [-bound, bound]; NaN stays NaN, which min() and max() of GLSL do not promise. */
static float limit(float x, float bound)
{
    x = x > bound ? bound : x;
    return x < -bound ? -bound : x;
}

float pmf_flush(float x)
{
    return fabsf(x) < TINY ? 0.0f : x;
}

/* ---- Division and roots -------------------------------------------------------------------------------- */

/* 1/x to 1.2e-4: subtracting the bits negates the exponent, and leaves x y within 0.707 .. 0.729; the linear
 * factor is the minimax one for that range. */
static float rcp_guess(float x)
{
    float y = pm_from_bits(0x7eb50500u - pm_bits_of(x));
    return y * (2.78648232f - 1.94090434f * (x * y));
}

/* One Newton step on the quotient itself, so that the guess's error is squared and only one rounding of b q
 * is left. */
static float quotient(float a, float b)
{
    float y = rcp_guess(b);
    float q = a * y;
    return q + y * (a - b * q);
}

float pmf_rcp(float x)
{
    float y = rcp_guess(x);
    return y + y * (1.0f - x * y);
}

float pmf_div(float a, float b)
{
    return pmf_flush(quotient(pmf_flush(a), b));
}

/* 1/sqrt(x) to 6.6e-4: halving the bits halves the exponent; then one Newton step with minimax
 * coefficients. */
static float rsqrt_guess(float x)
{
    float y = pm_from_bits(0x5f200000u - (pm_bits_of(x) >> 1));
    return y * (1.68191391f - 0.703952009f * (x * y * y));
}

float pmf_rsqrt(float x)
{
    float y = rsqrt_guess(x);
    float r = 1.0f - x * y * y;
    return y + y * (r * (0.5f + 0.375f * r));
}

float pmf_sqrt(float x)
{
    float y = rsqrt_guess(x);
    float s = x * y;
    float h = 0.5f * y;
    s = s + h * (x - s * s);
    s = s + h * (x - s * s);
    return x < TINY ? 0.0f : s;
}

/* ---- Exponential and logarithm ------------------------------------------------------------------------- */

/* e^x for |x| <= 88: x = n ln 2 + r, e^x = 2^n e^r. The high part of ln 2 has 9 bits, so that n times it is
 * exact. */
static float exp_bounded(float x)
{
    float n = floorf(x * 1.44269504f + 0.5f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 0.00138145522f;
    p = p * r + 0.00836874545f;
    p = p * r + 0.041668389f;
    p = p * r + 0.166665211f;
    p = p * r + 0.49999994f;
    p = (p * (r * r) + r) + 1.0f;
    return p * pm_from_bits((uint32_t)(whole(n) + 127) << 23);
}

float pmf_exp(float x)
{
    float e = exp_bounded(limit(x, 88.0f));
    return x < -80.0f ? 0.0f : e;
}

/* x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); log(1 + f) = f - f^2/2 + f^3 p(f). */
float pmf_log(float x)
{
    uint32_t bits = pm_bits_of(x);
    uint32_t clamped = (int32_t)bits < 0x0d800000 ? 0x0d800000u : bits;
    int32_t exponent = (int32_t)((clamped + 0x004afb0du) >> 23) - 127;
    float f = pm_from_bits(clamped - ((uint32_t)exponent << 23)) - 1.0f;
    float e = (float)exponent;
    float z = f * f;
    float p = 0.071052067f;
    p = p * f - 0.119621098f;
    p = p * f + 0.118863881f;
    p = p * f - 0.123589724f;
    p = p * f + 0.142134458f;
    p = p * f - 0.166703492f;
    p = p * f + 0.200025111f;
    p = p * f - 0.249999732f;
    p = p * f + 0.333333075f;
    p = p * (f * z) - e * 2.12194440e-4f;
    p = (f + (p - 0.5f * z)) + e * 0.693359375f;
    return (bits << 1) > 0xff000000u ? x : p;
}

float pmf_pow(float x, float y)
{
    return pmf_exp(y * pmf_log(x));
}

/* ---- Activations --------------------------------------------------------------------------------------- */

/* x + x^3 p(x^2) up to 0.55, beyond it 1 - 2 / (1 + e^2x), which loses nothing there. */
float pmf_tanh(float x)
{
    x = pmf_flush(x);
    float a = fabsf(x);
    float z = a * a;
    float p = -0.00626372686f;
    p = p * z + 0.0210653022f;
    p = p * z - 0.0538510419f;
    p = p * z + 0.13332577f;
    p = p * z - 0.333333164f;
    p = a + (a * z) * p;
    float large = 1.0f - 2.0f * pmf_rcp(1.0f + exp_bounded(2.0f * (a > 16.0f ? 16.0f : a)));
    float t = a < 0.55f ? p : large;
    return x < 0.0f ? -t : t;
}

/* x / (1 + e^-u), 0 where u < -64. That bound keeps the steps of quotient() clear of the denormals. */
static float gated(float x, float u)
{
    float q = quotient(x, 1.0f + exp_bounded(limit(-u, 64.0f)));
    return u < -64.0f ? 0.0f : q;
}

/* s = sigmoid(u) and its derivative s (1 - s), from e^-|u| so that neither 1 - s nor s loses digits. */
static void sigmoid_and_slope(float u, float *s, float *slope)
{
    float a = fabsf(u);
    float e = exp_bounded(-(a > 64.0f ? 64.0f : a));
    e = a > 64.0f ? 0.0f : e;
    float large = pmf_rcp(1.0f + e);
    float small = e * large;
    *s = u < 0.0f ? small : large;
    *slope = small * large;
}

float pmf_sigmoid(float x)
{
    return gated(1.0f, x);
}

float pmf_silu(float x)
{
    x = pmf_flush(x);
    return gated(x, x);
}

float pmf_silu_grad(float x)
{
    float s, slope;
    sigmoid_and_slope(x, &s, &slope);
    return s + x * slope;
}

/* (1 + tanh(v)) / 2 = sigmoid(2 v), which needs no tanh and keeps the digits of the negative tail. */
float pmf_gelu(float x)
{
    x = pmf_flush(x);
    return gated(x, x * (1.59576912f + 0.0713548163f * (x * x)));
}

float pmf_gelu_grad(float x)
{
    float s, slope;
    x = limit(x, 16.0f); /* past which the derivative is 0 or 1, and x^3 cannot overflow before */
    float z = x * x;
    sigmoid_and_slope(x * (1.59576912f + 0.0713548163f * z), &s, &slope);
    return s + x * (1.59576912f + 0.214064449f * z) * slope;
}

/* ---- Angles in turns ----------------------------------------------------------------------------------- */

/* sin(2 pi (f + k/4)) for |f| <= 1/8, k >= 0. */
static float sin_of_quarter(float f, int32_t k)
{
    float z = f * f;
    float s = -75.3922501f;
    s = s * z + 81.5923309f;
    s = s * z - 41.3416595f;
    s = s * z + 6.28318548f;
    s = s * f;
    float c = 59.2282181f;
    c = c * z - 85.4432068f;
    c = c * z + 64.9393234f;
    c = c * z - 19.7392082f;
    c = c * z + 1.0f;
    float v = (k & 1) != 0 ? c : s;
    return (k & 2) != 0 ? -v : v;
}

/* Splits x into k quarters of a turn, k in 0..3, and the rest, which is exact. A full half would round whole
 * numbers above 2^23 up to the next even one. */
static float split_turns(float x, int32_t *k)
{
    float q = floorf(x * 4.0f + 0.49999997f);
    *k = whole(q - 4.0f * floorf(q * 0.25f));
    return x - q * 0.25f;
}

float pmf_sin_turns(float x)
{
    int32_t k;
    float f = split_turns(pmf_flush(x), &k);
    return sin_of_quarter(f, k);
}

float pmf_cos_turns(float x)
{
    int32_t k;
    float f = split_turns(pmf_flush(x), &k);
    return sin_of_quarter(f, k + 1);
}
