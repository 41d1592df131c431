// What the kernels of attention share. A lane has TILE neighbouring rows of one head ("mine": queries, or
// keys) and goes through the other side's rows ("theirs") in blocks of BLOCK. For a block it computes TILE x
// BLOCK numbers in registers, and adds them, times the block's rows, to its results in memory, four channels
// at a time: so a kernel is short whatever the width of a head, and a result is read and written once a
// block.
//
// No sum depends on TILE. BLOCK decides when the forward pass rescales, and so is the same everywhere. Both
// are specialization constants so that the loops over them stay loops until the driver unrolls them.
#ifndef PUMICE_ATTENTION_TILE_GLSL
#define PUMICE_ATTENTION_TILE_GLSL

#include "exact.glsl"
#include "rows.glsl"

layout(constant_id = 1) const uint TILE = 1;
layout(constant_id = 2) const uint BLOCK = 32;
layout(constant_id = 3) const bool CAUSAL = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint queries;
    uint keys;
    uint heads;
    uint head_width;
    uint tiles;  // of a head
    float scale; // 1 / sqrt(head_width)
} p;

// Where this lane works; sample and head are those of all its rows.
uint sample_index, head, first_row;

// False for a lane that has nothing to do.
bool attention_begin()
{
    uint index = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    sample_index = gl_WorkGroupID.z;
    head = index / p.tiles;
    first_row = index % p.tiles * TILE;
    return head < p.heads;
}

// Where a row of this head begins in a tensor with `length` rows a sample. Rows past the end are the last
// one: what is computed for them is not used.
uint row_start(uint row, uint length)
{
    return (sample_index * length + min(row, length - 1)) * p.heads * p.head_width + head * p.head_width;
}

// The same in a tensor with one number a row, [sample, head, row], which is bound whole.
uint row_at(uint row, uint length)
{
    return ((p.base + sample_index) * p.heads + head) * length + min(row, length - 1);
}

bool sees(uint query, uint key)
{
    return key < p.keys && query < p.queries && (!CAUSAL || key + p.queries <= query + p.keys);
}

// product[t][j] = inner product of row first_row + t of `mine` with row first + j of `theirs`.
#define ATTENTION_PRODUCTS(product, mine, my_length, theirs, first, their_length)      \
    [[unroll]] for (uint t = 0; t < TILE; t++) {                                       \
        [[unroll]] for (uint j = 0; j < BLOCK; j++) product[t][j] = 0.0;               \
    }                                                                                  \
    for (uint quad = 0; 4 * quad < p.head_width; quad++) {                             \
        vec4 a[TILE];                                                                  \
        [[unroll]] for (uint t = 0; t < TILE; t++) {                                   \
            a[t] = mine(row_start(first_row + t, my_length), quad, p.head_width);      \
        }                                                                              \
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {                                  \
            vec4 b = theirs(row_start((first) + j, their_length), quad, p.head_width); \
            [[unroll]] for (uint t = 0; t < TILE; t++) {                               \
                float sum = PM_MAD(a[t].x, b.x, product[t][j]);                        \
                sum = PM_MAD(a[t].y, b.y, sum);                                        \
                sum = PM_MAD(a[t].z, b.z, sum);                                        \
                product[t][j] = PM_MAD(a[t].w, b.w, sum);                              \
            }                                                                          \
        }                                                                              \
    }

// Row first_row + t of `result`: itself times before[t] (zero at first), plus the sum over j of weight[t][j]
// times row first + j of `theirs`, times after[t].
#define ATTENTION_ADD(result, my_length, is_first, before, weight, theirs, first, their_length, after) \
    for (uint quad = 0; 4 * quad < p.head_width; quad++) {                                             \
        vec4 sum[TILE];                                                                                \
        [[unroll]] for (uint t = 0; t < TILE; t++) {                                                   \
            sum[t] = vec4(0.0);                                                                        \
            if (!(is_first)) {                                                                         \
                uint mine = row_start(first_row + t, my_length);                                       \
                sum[t] = result##_load(mine, quad, p.head_width) * before[t];                          \
            }                                                                                          \
        }                                                                                              \
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {                                                  \
            vec4 b = theirs(row_start((first) + j, their_length), quad, p.head_width);                 \
            [[unroll]] for (uint t = 0; t < TILE; t++) sum[t] = PM_MAD(vec4(weight[t][j]), b, sum[t]); \
        }                                                                                              \
        [[unroll]] for (uint t = 0; t < TILE; t++) {                                                   \
            if (first_row + t < my_length) {                                                           \
                uint mine = row_start(first_row + t, my_length);                                       \
                PM_ROWS_STORE(result, mine, quad, p.head_width, sum[t] * after[t]);                    \
            }                                                                                          \
        }                                                                                              \
    }

// The keys that any of this lane's queries sees.
uint keys_end()
{
    uint last = min(first_row + TILE, p.queries) - 1;
    return CAUSAL ? last + p.keys - p.queries + 1 : p.keys;
}

// The probability of a pair in the backward pass, from its inner product and the log-sum-exp of its query.
float probability(uint query, uint key, float product, float log_sum)
{
    return sees(query, key) ? pm_flush(pm_exp(product * p.scale - log_sum)) : 0.0;
}

#endif
