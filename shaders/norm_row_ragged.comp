// The same as norm_row.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "norm_row.glsl"
