// The gradient of a table. Reference: reference_embedding_backward in runtime/ops/embedding.c.
#version 460
#include "pumice.glsl"
#include "embedding_backward.glsl"
