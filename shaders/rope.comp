// Rotary positions: halves of a head are whole vec4s; see rope.glsl.
#version 460
#include "pumice.glsl"
#include "rope.glsl"
