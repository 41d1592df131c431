// Rows of a table by index. Reference: reference_embedding in runtime/ops/embedding.c.
#version 460
#include "pumice.glsl"
#include "embedding.glsl"
