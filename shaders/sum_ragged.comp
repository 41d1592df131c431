// The same as sum.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "sum.glsl"
