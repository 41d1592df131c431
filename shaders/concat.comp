// Two tensors side by side, or one among zeros. Reference: reference_concat and reference_pad in
// runtime/ops/layout.c.
#version 460
#include "pumice.glsl"
#include "concat.glsl"
