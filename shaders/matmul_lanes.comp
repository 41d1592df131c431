// The same as matmul.comp, of lanes that fetch for each other; see include/tile.glsl.
#version 460
#define PM_LANES
#include "matmul_tile.glsl"
