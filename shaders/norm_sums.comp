// Normalisation: rows of whole vec4s; see norm_sums.glsl.
#version 460
#include "pumice.glsl"
#include "norm_sums.glsl"
