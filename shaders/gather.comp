// Strided copies: broadcast, slice, transpose, nearest-neighbour up-sampling. Reference: reference_view in
// runtime/ops/layout.c.
#version 460
#include "pumice.glsl"
#include "gather.glsl"
