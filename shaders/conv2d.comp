// A convolution by register tiles; see include/conv2d_tile.glsl.
#version 460
#include "conv2d_tile.glsl"
