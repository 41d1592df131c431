// The same as attention.comp, of lanes that fetch for each other; see include/lanes.glsl.
#version 460
#define PM_LANES
#include "pumice.glsl"
#include "attention.glsl"
