// Attention: rows of whole vec4s; see attention.glsl.
#version 460
#include "pumice.glsl"
#include "attention.glsl"
