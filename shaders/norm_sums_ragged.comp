// The same as norm_sums.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "norm_sums.glsl"
