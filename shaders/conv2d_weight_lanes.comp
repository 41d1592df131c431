// The same as conv2d_weight.comp, of lanes that fetch for each other; see include/tile.glsl.
#version 460
#define PM_LANES
#include "conv2d_weight_tile.glsl"
