// Attention of a query or a few, through shared memory; see include/attention_token.glsl.
#version 460
#include "pumice.glsl"
#include "attention_token.glsl"
