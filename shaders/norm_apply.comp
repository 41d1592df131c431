// Normalisation: rows of whole vec4s; see norm_apply.glsl.
#version 460
#include "pumice.glsl"
#include "norm_apply.glsl"
