// Elementary functions that give the same bits on every driver, for float and vec4: the GLSL half of
// runtime/base/exact.h, which states domains and errors (there pm_exp is called pmf_exp, and so on);
// runtime/base/exact.c explains each step. The two are the same, operation for operation: change both or
// neither. Only correctly rounded + - * (the build marks them NoContraction), comparison, selection, floor
// and integer operations: no division, no fma, no builtin function that may be approximate.
//
// The text below the types is compiled twice, once for float and once for vec4: the file includes itself.
#ifndef PUMICE_EXACT_GLSL
#define PUMICE_EXACT_GLSL

#define PM_TINY 7.88860905e-31 // 2^-100

// x where `yes`, else y, component by component; neither side is multiplied by anything.
#define PM_SELECT(yes, x, y) mix(y, x, yes)

#define PM_F float
#define PM_I int
#define PM_U uint
#define PM_B bool
#define PM_LESS(a, b) ((a) < (b))
#define PM_IS_SET(a) ((a) != 0)
#include "exact.glsl"
#undef PM_F
#undef PM_I
#undef PM_U
#undef PM_B
#undef PM_LESS
#undef PM_IS_SET

#define PM_F vec4
#define PM_I ivec4
#define PM_U uvec4
#define PM_B bvec4
#define PM_LESS(a, b) lessThan(a, b)
#define PM_IS_SET(a) notEqual(a, ivec4(0))
#include "exact.glsl"
#undef PM_F
#undef PM_I
#undef PM_U
#undef PM_B
#undef PM_LESS
#undef PM_IS_SET

#elif defined(PM_F)

// A whole number as an integer; a conversion is slow on newer drivers of CPUs.
PM_I pm_whole(PM_F x)
{
    return PM_I(floatBitsToUint(x + 12582912.0) - 0x4b400000u);
}

PM_F pm_limit(PM_F x, float bound)
{
    x = PM_SELECT(PM_LESS(PM_F(bound), x), PM_F(bound), x);
    return PM_SELECT(PM_LESS(x, PM_F(-bound)), PM_F(-bound), x);
}

PM_F pm_flush(PM_F x)
{
    return PM_SELECT(PM_LESS(abs(x), PM_F(PM_TINY)), PM_F(0.0), x);
}

// ---- Division and roots

PM_F pm_rcp_guess(PM_F x)
{
    PM_F y = uintBitsToFloat(0x7eb50500u - floatBitsToUint(x));
    return y * (2.78648232 - 1.94090434 * (x * y));
}

PM_F pm_quotient(PM_F a, PM_F b)
{
    PM_F y = pm_rcp_guess(b);
    PM_F q = a * y;
    return q + y * (a - b * q);
}

PM_F pm_rcp(PM_F x)
{
    PM_F y = pm_rcp_guess(x);
    return y + y * (1.0 - x * y);
}

PM_F pm_div(PM_F a, PM_F b)
{
    return pm_flush(pm_quotient(pm_flush(a), b));
}

PM_F pm_rsqrt_guess(PM_F x)
{
    PM_F y = uintBitsToFloat(0x5f200000u - (floatBitsToUint(x) >> 1));
    return y * (1.68191391 - 0.703952009 * (x * y * y));
}

PM_F pm_rsqrt(PM_F x)
{
    PM_F y = pm_rsqrt_guess(x);
    PM_F r = 1.0 - x * y * y;
    return y + y * (r * (0.5 + 0.375 * r));
}

PM_F pm_sqrt(PM_F x)
{
    PM_F y = pm_rsqrt_guess(x);
    PM_F s = x * y;
    PM_F h = 0.5 * y;
    s = s + h * (x - s * s);
    s = s + h * (x - s * s);
    return PM_SELECT(PM_LESS(x, PM_F(PM_TINY)), PM_F(0.0), s);
}

// ---- Exponential and logarithm

PM_F pm_exp_bounded(PM_F x)
{
    PM_F n = floor(x * 1.44269504 + 0.5);
    PM_F r = (x - n * 0.693359375) + n * 2.12194440e-4;
    PM_F p = PM_F(0.00138145522);
    p = p * r + 0.00836874545;
    p = p * r + 0.041668389;
    p = p * r + 0.166665211;
    p = p * r + 0.49999994;
    p = (p * (r * r) + r) + 1.0;
    return p * intBitsToFloat((pm_whole(n) + 127) << 23);
}

PM_F pm_exp(PM_F x)
{
    PM_F e = pm_exp_bounded(pm_limit(x, 88.0));
    return PM_SELECT(PM_LESS(x, PM_F(-80.0)), PM_F(0.0), e);
}

PM_F pm_log(PM_F x)
{
    PM_U bits = floatBitsToUint(x);
    PM_U clamped = PM_U(max(PM_I(bits), PM_I(0x0d800000)));
    PM_I exponent = PM_I((clamped + 0x004afb0du) >> 23) - 127;
    PM_F f = uintBitsToFloat(clamped - (PM_U(exponent) << 23)) - 1.0;
    PM_F e = PM_F(exponent);
    PM_F z = f * f;
    PM_F p = PM_F(0.071052067);
    p = p * f - 0.119621098;
    p = p * f + 0.118863881;
    p = p * f - 0.123589724;
    p = p * f + 0.142134458;
    p = p * f - 0.166703492;
    p = p * f + 0.200025111;
    p = p * f - 0.249999732;
    p = p * f + 0.333333075;
    p = p * (f * z) - e * 2.12194440e-4;
    p = (f + (p - 0.5 * z)) + e * 0.693359375;
    return PM_SELECT(PM_LESS(PM_U(0xff000000u), bits << 1), x, p);
}

PM_F pm_pow(PM_F x, PM_F y)
{
    return pm_exp(y * pm_log(x));
}

// ---- Activations

PM_F pm_tanh(PM_F x)
{
    x = pm_flush(x);
    PM_F a = abs(x);
    PM_F z = a * a;
    PM_F p = PM_F(-0.00626372686);
    p = p * z + 0.0210653022;
    p = p * z - 0.0538510419;
    p = p * z + 0.13332577;
    p = p * z - 0.333333164;
    p = a + (a * z) * p;
    PM_F bounded = PM_SELECT(PM_LESS(PM_F(16.0), a), PM_F(16.0), a);
    PM_F large = 1.0 - 2.0 * pm_rcp(1.0 + pm_exp_bounded(2.0 * bounded));
    PM_F t = PM_SELECT(PM_LESS(a, PM_F(0.55)), p, large);
    return PM_SELECT(PM_LESS(x, PM_F(0.0)), -t, t);
}

PM_F pm_gated(PM_F x, PM_F u)
{
    PM_F q = pm_quotient(x, 1.0 + pm_exp_bounded(pm_limit(-u, 64.0)));
    return PM_SELECT(PM_LESS(u, PM_F(-64.0)), PM_F(0.0), q);
}

void pm_sigmoid_and_slope(PM_F u, out PM_F s, out PM_F slope)
{
    PM_F a = abs(u);
    PM_B saturated = PM_LESS(PM_F(64.0), a);
    PM_F e = pm_exp_bounded(-PM_SELECT(saturated, PM_F(64.0), a));
    e = PM_SELECT(saturated, PM_F(0.0), e);
    PM_F large = pm_rcp(1.0 + e);
    PM_F small = e * large;
    s = PM_SELECT(PM_LESS(u, PM_F(0.0)), small, large);
    slope = small * large;
}

PM_F pm_sigmoid(PM_F x)
{
    return pm_gated(PM_F(1.0), x);
}

PM_F pm_silu(PM_F x)
{
    x = pm_flush(x);
    return pm_gated(x, x);
}

PM_F pm_silu_grad(PM_F x)
{
    PM_F s, slope;
    pm_sigmoid_and_slope(x, s, slope);
    return s + x * slope;
}

PM_F pm_gelu(PM_F x)
{
    x = pm_flush(x);
    return pm_gated(x, x * (1.59576912 + 0.0713548163 * (x * x)));
}

PM_F pm_gelu_grad(PM_F x)
{
    PM_F s, slope;
    x = pm_limit(x, 16.0);
    PM_F z = x * x;
    pm_sigmoid_and_slope(x * (1.59576912 + 0.0713548163 * z), s, slope);
    return s + x * (1.59576912 + 0.214064449 * z) * slope;
}

// ---- Angles in turns

PM_F pm_sin_of_quarter(PM_F f, PM_I k)
{
    PM_F z = f * f;
    PM_F s = PM_F(-75.3922501);
    s = s * z + 81.5923309;
    s = s * z - 41.3416595;
    s = s * z + 6.28318548;
    s = s * f;
    PM_F c = PM_F(59.2282181);
    c = c * z - 85.4432068;
    c = c * z + 64.9393234;
    c = c * z - 19.7392082;
    c = c * z + 1.0;
    PM_F v = PM_SELECT(PM_IS_SET(k & 1), c, s);
    return PM_SELECT(PM_IS_SET(k & 2), -v, v);
}

PM_F pm_split_turns(PM_F x, out PM_I k)
{
    PM_F q = floor(x * 4.0 + 0.49999997);
    k = pm_whole(q - 4.0 * floor(q * 0.25));
    return x - q * 0.25;
}

PM_F pm_sin_turns(PM_F x)
{
    PM_I k;
    PM_F f = pm_split_turns(pm_flush(x), k);
    return pm_sin_of_quarter(f, k);
}

PM_F pm_cos_turns(PM_F x)
{
    PM_I k;
    PM_F f = pm_split_turns(pm_flush(x), k);
    return pm_sin_of_quarter(f, k + 1);
}

#endif
