// The cross entropy's gradient, in memory of its own.
#version 460
#include "cross_entropy_backward.glsl"
