// Masks each token with the probability that its row has. Reference: reference_mask_tokens in
// runtime/ops/mask_tokens.c.
#version 460
#include "pumice.glsl"

PM_INPUT_UINT(0, counter)

#include "mask_tokens.glsl"

layout(constant_id = 1) const bool HAS_FIXED = false;
layout(constant_id = 2) const bool CUT_RATES = false; // they are bound from the piece on

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_MASK
    uint mask_token;
} p;

PM_INPUT_UINT(1, tokens)
PM_INPUT(2, rates)
PM_INPUT_UINT(3, fixed_tokens)
PM_OUTPUT_UINT(4, masked);
PM_OUTPUT_UINT(5, labels);

void main()
{
    uint here = PM_SLAB_HERE, first = PM_SLAB_FIRST;
    pm_divisor blocks = p.row_blocks;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(here + i, blocks), block = here + i - row * blocks.n;
        uint row_of_all = pm_quotient(first + i, blocks);
        uvec4 bits = pm_mask_bits(row_of_all, block, p.stream);
        float rate = rates(CUT_RATES ? row : row_of_all);
        // The rate in units of 2^-32, of which a draw has a whole number; of 1 and above it is not a uint.
        uint below = rate > 0.0 && rate < 1.0 ? uint(rate * 4294967296.0) : 0;
        [[unroll]] for (uint k = 0; k < 4; k++) {
            if (4 * block + k < p.row_length) {
                uint at = row * p.row_length + 4 * block + k, token = tokens(at);
                bool mask = (rate >= 1.0 || bits[k] < below) && !(HAS_FIXED && fixed_tokens(at) != 0);
                masked[at] = mask ? p.mask_token : token;
                labels[at] = mask ? token : PM_NOT_MASKED;
            }
        }
    }
}
