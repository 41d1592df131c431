// Attention: rows of whole vec4s; see attention_dkv.glsl.
#version 460
#include "pumice.glsl"
#include "attention_dkv.glsl"
