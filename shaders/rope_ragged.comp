// The same as rope.comp, element by element: heads of any even width.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "rope.glsl"
