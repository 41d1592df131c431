// Where each of n indices goes when they are sorted, equal ones in their order: the number of those that come
// before. That is n^2 comparisons, few beside what a network does with n rows, and needs no second pass.
// order[place] = position, and sorted[place] = index.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT_UINT(0, index)
PM_OUTPUT_UINT(1, order);
PM_OUTPUT_UINT(2, sorted);

void main()
{
    uint first = 4 * PM_INVOCATION;
    if (first >= p.count) return;
    uvec4 own = uvec4(first, first + 1, first + 2, first + 3);
    uvec4 key;
    [[unroll]] for (uint k = 0; k < 4; k++) key[k] = index(min(own[k], p.count - 1));
    uvec4 before = uvec4(0);
    for (uint i = 0; i < p.count; i++) {
        uvec4 other = uvec4(index(i));
        bvec4 less = lessThan(other, key), equal = equal(other, key), earlier = lessThan(uvec4(i), own);
        [[unroll]] for (uint k = 0; k < 4; k++) before[k] += less[k] || (equal[k] && earlier[k]) ? 1 : 0;
    }
    [[unroll]] for (uint k = 0; k < 4; k++) {
        if (own[k] < p.count) {
            order[before[k]] = own[k];
            sorted[before[k]] = key[k];
        }
    }
}
