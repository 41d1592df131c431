// Column sums, in an order that the shapes decide. Reference: reference_sum_to in runtime/ops/reduce.c.
#version 460
#include "pumice.glsl"
#include "sum.glsl"
