// Rows into a cache: rows of whole vec4s; see cache_write.glsl.
#version 460
#include "pumice.glsl"
#include "cache_write.glsl"
