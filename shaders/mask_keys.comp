// A random key for each token, by which mask_ranks.comp orders those of a row: below 2^32 - 1, which is the
// key of a token that may not be masked.
#version 460
#include "pumice.glsl"

PM_INPUT_UINT(0, counter)

#include "mask_tokens.glsl"

layout(constant_id = 1) const bool HAS_FIXED = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_MASK
} p;

PM_INPUT_UINT(1, fixed_tokens)
PM_OUTPUT_UINT(2, keys);

void main()
{
    uint here = PM_SLAB_HERE, first = PM_SLAB_FIRST;
    pm_divisor blocks = p.row_blocks;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(here + i, blocks), block = here + i - row * blocks.n;
        uvec4 bits = min(pm_mask_bits(pm_quotient(first + i, blocks), block, p.stream), 0xfffffffeu);
        [[unroll]] for (uint k = 0; k < 4; k++) {
            if (4 * block + k < p.row_length) {
                uint at = row * p.row_length + 4 * block + k;
                keys[at] = HAS_FIXED && fixed_tokens(at) != 0 ? 0xffffffffu : bits[k];
            }
        }
    }
}
