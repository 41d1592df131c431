// The same as gather.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "gather.glsl"
