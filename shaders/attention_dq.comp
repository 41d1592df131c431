// Attention: rows of whole vec4s; see attention_dq.glsl.
#version 460
#include "pumice.glsl"
#include "attention_dq.glsl"
