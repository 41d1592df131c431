// A matrix product by register tiles; see include/matmul_tile.glsl.
#version 460
#include "matmul_tile.glsl"
