// Strided copies: broadcast, slice, transpose, nearest-neighbour up-sampling. Reference: reference_broadcast
// in runtime/ops/reduce.c, reference_slice and reference_transpose in layout.c, reference_upsample in
// resample.c.
#version 460
#include "pumice.glsl"
#include "gather.glsl"
