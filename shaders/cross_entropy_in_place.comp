// The cross entropy's gradient, where the logits were.
#version 460
#define PM_IN_PLACE
#include "cross_entropy_backward.glsl"
