// The same as attention_dkv.comp, element by element: rows of any length.
#version 460
#define PM_RAGGED
#include "pumice.glsl"
#include "attention_dkv.glsl"
