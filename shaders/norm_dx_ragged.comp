// The same as norm_dx.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "norm_dx.glsl"
