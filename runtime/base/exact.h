/* Elementary functions of float that give the same bits everywhere: made of correctly rounded + - *,
 * comparisons, floor and integer operations alone, because these are all that Vulkan promises to round the
 * same way on every driver. shaders/include/exact.glsl has the same functions, operation for operation;
 * change both or neither.
 *
 * Errors are the largest found against libm in double, rounded up, in ulp of the float result;
 * tests/test_exact.c measures them again. Denormals: some drivers flush them, so every function gives the
 * same for a denormal as for zero, inside the domain that it names. Outside its domain a result is
 * unspecified, and may differ between drivers. NaN gives NaN; an infinite argument gives NaN or the limit.
 * The sign of a zero result is unspecified.
 *
 * In C the prefix is pmf_, since pumice.h has operators on tensors of some of these names; GLSL has them as
 * pm_exp and so on. */
#ifndef PM_BASE_EXACT_H
#define PM_BASE_EXACT_H

/* x, or 0 where |x| < 2^-100: far enough above the denormals that a product with what is left rarely reaches
 * them. */
float pmf_flush(float x);

/* 1 / x for 2^-100 <= |x| <= 2^100. 1.7 ulp. */
float pmf_rcp(float x);

/* a / b for 2^-100 <= |b| <= 2^100 and a quotient below 2^127; an |a| or a quotient under 2^-100 counts as 0.
 * 1.7 ulp. */
float pmf_div(float a, float b);

/* 1 / sqrt(x) for 2^-100 <= x <= 2^126. 1.5 ulp. */
float pmf_rsqrt(float x);

/* sqrt(x) for x <= 2^127; what is under 2^-100, and so every negative number, counts as 0. 0.9 ulp. */
float pmf_sqrt(float x);

/* e^x; 0 where x < -80, and e^88 = 1.65e38 where x > 88. 1 ulp. */
float pmf_exp(float x);

/* The natural logarithm; an x under 2^-100, and so every negative number, counts as 2^-100 (giving -69.31).
 * 0.8 ulp. */
float pmf_log(float x);

/* x^y = e^(y log x) for x > 0, with the limits of pmf_log and pmf_exp. Its relative error grows with the
 * exponent: up to (2 + 2.6 |y log x|) ulp. */
float pmf_pow(float x, float y);

/* The hyperbolic tangent. 1.9 ulp. */
float pmf_tanh(float x);

/* 1 / (1 + e^-x); 0 where x < -64. 3.1 ulp. */
float pmf_sigmoid(float x);

/* x sigmoid(x), 3 ulp, and its derivative, 4 ulp for x >= -0.5 and within 1e-7 below, where it crosses zero.
 * Both are 0 where x < -64. */
float pmf_silu(float x);
float pmf_silu_grad(float x);

/* The tanh form of the Gaussian error linear unit, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks &
 * Gimpel 2016): 3 ulp for x >= -1, within 5e-8 below. And its derivative: 4 ulp for x >= -0.5, within 1e-7
 * below. For |x| up to 1e12. */
float pmf_gelu(float x);
float pmf_gelu_grad(float x);

/* sin(2 pi x) and cos(2 pi x), of an angle in turns, for |x| <= 2^120. 1.8 ulp. */
float pmf_sin_turns(float x);
float pmf_cos_turns(float x);

#endif
