// The operands of matrix units: fragments of FRAGMENT_M x FRAGMENT_K and FRAGMENT_K x FRAGMENT_N elements of 16
// bits, which a subgroup holds together, and sums in f32. Where in a fragment an element lies is the device's secret.
#ifndef PUMICE_FRAGMENTS_GLSL
#define PUMICE_FRAGMENTS_GLSL

// The format that operands are rounded to, and four of it.
#ifdef PM_BF16
#define PM_HALF bfloat16_t
#define PM_HALF4 bf16vec4
#else
#define PM_HALF float16_t
#define PM_HALF4 f16vec4
#endif

#define PM_FRAGMENT_A coopmat<PM_HALF, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_K, gl_MatrixUseA>
#define PM_FRAGMENT_B coopmat<PM_HALF, gl_ScopeSubgroup, FRAGMENT_K, FRAGMENT_N, gl_MatrixUseB>
#define PM_FRAGMENT_SUMS coopmat<float, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_N, gl_MatrixUseAccumulator>

#endif
