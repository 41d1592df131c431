// Softmax: rows of whole vec4s; see softmax_backward.glsl.
#version 460
#include "pumice.glsl"
#include "softmax_backward.glsl"
