// The same as attention_token.comp, of lanes that show each other what they have; see include/lanes.glsl.
#version 460
#define PM_LANES
#include "pumice.glsl"
#include "attention_token.glsl"
