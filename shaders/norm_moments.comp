// Normalisation: rows of whole vec4s; see norm_moments.glsl.
#version 460
#include "pumice.glsl"
#include "norm_moments.glsl"
