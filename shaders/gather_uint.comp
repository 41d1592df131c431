// The same as gather.comp, of 32-bit integers.
#version 460
#define PM_INTEGER
#include "pumice.glsl"
#include "gather.glsl"
