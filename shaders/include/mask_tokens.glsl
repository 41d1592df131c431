// The random bits of the tokens of [B, L], four neighbours of a row at a time: token e of row b has element e
// of sample counter[1] + b. A unit is such a block of four; the last of a row may reach past its end.
//
// The including shader has declared `PM_INPUT_UINT(0, counter)`, and pushes what PM_PUSH_MASK says.
#ifndef PUMICE_MASK_TOKENS_GLSL
#define PUMICE_MASK_TOKENS_GLSL

#include "philox.glsl"
#include "slab.glsl"

#define PM_PUSH_MASK       \
    PM_PUSH_SLAB           \
    pm_divisor row_blocks; \
    uint row_length;       \
    uint stream;

const uint PM_NOT_MASKED = 0xffffffffu; // as a label

// `block` of a row that is number `row` of the whole tensor.
uvec4 pm_mask_bits(uint row, uint block, uint stream)
{
    uvec4 place = uvec4(block, counter(0), counter(1) + row, stream);
    return pm_philox(place, uvec2(counter(2), counter(3)));
}

#endif
