// Normalisation: rows of whole vec4s; see norm_row_moments.glsl.
#version 460
#include "pumice.glsl"
#include "norm_row_moments.glsl"
