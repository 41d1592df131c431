// Masks, of each row, as many tokens as it is to have: those of the lowest keys, of equal ones the first. A
// token finds its own rank among the row's, so that no lane waits for another: L comparisons a token, few
// beside what a network does with it. Reference: reference_mask_tokens in runtime/ops/mask_tokens.c.
#version 460
#include "pumice.glsl"
#include "slab.glsl"

layout(constant_id = 1) const bool CUT_COUNTS = false; // they are bound from the piece on

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    pm_divisor row_blocks; // of four tokens
    uint row_length;
    uint mask_token;
} p;

PM_INPUT_UINT(0, keys)
PM_INPUT_UINT(1, tokens)
PM_INPUT_UINT(2, counts)
PM_OUTPUT_UINT(3, masked);
PM_OUTPUT_UINT(4, labels);

void main()
{
    uint here = PM_SLAB_HERE, first = PM_SLAB_FIRST, row_length = p.row_length;
    pm_divisor blocks = p.row_blocks;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(here + i, blocks), block = here + i - row * blocks.n;
        uint begin = row * row_length;
        uvec4 own = 4 * block + uvec4(0, 1, 2, 3), key, rank = uvec4(0);
        [[unroll]] for (uint k = 0; k < 4; k++) key[k] = keys(begin + min(own[k], row_length - 1));
        for (uint j = 0; j < row_length; j++) {
            uvec4 other = uvec4(keys(begin + j));
            bvec4 less = lessThan(other, key), equal = equal(other, key), earlier = lessThan(uvec4(j), own);
            [[unroll]] for (uint k = 0; k < 4; k++) rank[k] += less[k] || (equal[k] && earlier[k]) ? 1 : 0;
        }
        uint count = counts(CUT_COUNTS ? row : pm_quotient(first + i, blocks));
        [[unroll]] for (uint k = 0; k < 4; k++) {
            if (own[k] < row_length) {
                uint at = begin + own[k], token = tokens(at);
                bool mask = rank[k] < count && key[k] != 0xffffffffu;
                masked[at] = mask ? p.mask_token : token;
                labels[at] = mask ? token : 0xffffffffu;
            }
        }
    }
}
