// The gradient of conv2d's weights by register tiles; see include/conv2d_weight_tile.glsl.
#version 460
#include "conv2d_weight_tile.glsl"
