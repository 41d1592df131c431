// What attention adds up where its weights lie in memory; see include/attention_product_tile.glsl.
#version 460
#include "attention_product_tile.glsl"
