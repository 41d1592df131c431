// Normalisation: rows of whole vec4s; see norm_row_sums.glsl.
#version 460
#include "pumice.glsl"
#include "norm_row_sums.glsl"
