// Sums and means over squares of pixels. Reference: reference_pool in runtime/ops/resample.c.
#version 460
#include "pumice.glsl"
#include "pool.glsl"
