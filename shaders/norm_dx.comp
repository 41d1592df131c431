// Normalisation: rows of whole vec4s; see norm_dx.glsl.
#version 460
#include "pumice.glsl"
#include "norm_dx.glsl"
