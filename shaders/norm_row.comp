// Normalisation: rows of whole vec4s; see norm_row.glsl.
#version 460
#include "pumice.glsl"
#include "norm_row.glsl"
