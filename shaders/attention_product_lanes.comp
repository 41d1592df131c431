// The same as attention_product.comp, of lanes that fetch for each other; see include/tile.glsl.
#version 460
#define PM_LANES
#include "attention_product_tile.glsl"
