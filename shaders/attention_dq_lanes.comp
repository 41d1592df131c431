// The same as attention_dq.comp, of lanes that fetch for each other; see include/lanes.glsl.
#version 460
#define PM_LANES
#include "pumice.glsl"
#include "attention_dq.glsl"
