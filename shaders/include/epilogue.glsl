// What kernels of products and convolutions do to their sums at the end, in this order: + bias, times a gate,
// + residual, and an activation; each step as the kernel would that does it alone, with the same bits. Define
// PM_EPILOGUE_ID, the number of the specialization constant, before.
//
// The activation comes last, in a loop of its own over what the invocation has written: in place, a tile of
// 16 x 4 vec4s, all unrolled, would have 64 copies of it. Matrix units bring their sums out in a loop anyway.
#ifndef PUMICE_EPILOGUE_GLSL
#define PUMICE_EPILOGUE_GLSL

#include "activation.glsl"

layout(constant_id = PM_EPILOGUE_ID) const uint EPILOGUE = 0; // as pm_spec_epilogue makes it
const bool HAS_RESIDUAL = (EPILOGUE & 1) != 0, HAS_GATE = (EPILOGUE & 2) != 0;
const uint ACTIVATION = EPILOGUE >> 2;
#ifdef PM_MATRIX
const bool ACTIVATES_IN_PLACE = true;
#else
const bool ACTIVATES_IN_PLACE = false;
#endif

#endif
