// Whether a step with a gradient of this norm is taken: below 2^60, and so neither infinite nor NaN. The other half
// is runtime/ops/good_norm.h.
#ifndef PUMICE_GOOD_NORM_GLSL
#define PUMICE_GOOD_NORM_GLSL

bool good_norm(float norm) { return floatBitsToUint(norm) < 0x5d800000u; } // the bits of 2^60

#endif
