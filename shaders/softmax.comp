// Softmax: rows of whole vec4s; see softmax.glsl.
#version 460
#include "pumice.glsl"
#include "softmax.glsl"
