// The same as softmax.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "softmax.glsl"
