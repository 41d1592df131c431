// What the kernels of attention share. A lane has TILE neighbouring rows of one head ("mine": queries, or
// keys) and goes through the other side's rows ("theirs") in blocks of BLOCK. For a block it computes TILE x
// BLOCK numbers in registers, and adds them, times the block's rows, to its results in memory, four channels
// at a time: so a kernel is short whatever the width of a head, and a result is read and written once a
// block. Where WEIGHT_ROWS is not 0 it writes the numbers out instead, and attention_product.comp adds.
//
// No sum depends on TILE. BLOCK decides when the forward pass rescales, and so is the same everywhere there;
// in the backward pass it decides nothing. Both are specialization constants so that the loops over them stay
// loops until the driver unrolls them.
#ifndef PUMICE_ATTENTION_TILE_GLSL
#define PUMICE_ATTENTION_TILE_GLSL

#include "exact.glsl"
#include "rows.glsl"

layout(constant_id = 1) const uint TILE = 1;
layout(constant_id = 2) const uint BLOCK = 32;
layout(constant_id = 3) const uint MASK = 0;          // pm_mask
layout(constant_id = 4) const uint GROUP = 1;         // heads of queries that share one of keys
layout(constant_id = 5) const bool OVER_KEYS = false; // a lane has keys, not queries
// Rows of a tile of attention_product.comp, which reads the weights; a divisor of 32, as TILE is of it, or 0.
layout(constant_id = 7) const uint WEIGHT_ROWS = 0;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint queries;
    uint keys;
    uint heads; // of queries
    uint head_width;
    uint tiles;  // of a head
    float scale; // 1 / sqrt(head_width)
    uint block;  // positions of a block, for PM_MASK_BLOCK
    uint weight_quads; // vec4s of a row of weights
} p;

// Where this lane works; sample and head are those of all its rows. `head` is of queries; where a lane has
// keys, the first of those that share them.
uint sample_index, head, first_row;
uint origin;     // the position of query 0 among the keys
uint keys_there; // keys beyond are not read

// False for a lane that has nothing to do.
bool attention_begin()
{
    uint index = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    sample_index = gl_WorkGroupID.z;
    head = index / p.tiles * (OVER_KEYS ? GROUP : 1);
    first_row = index % p.tiles * TILE;
    origin = p.keys - p.queries;
    keys_there = p.keys;
    return head < p.heads;
}

// Where a row of this head begins in q and its like, and in k and its like. Rows past the end are the last
// one: what is computed for them is not used.
uint query_start(uint query)
{
    uint row = sample_index * p.queries + min(query, p.queries - 1);
    return (row * p.heads + head) * p.head_width;
}

uint key_start(uint key)
{
    uint row = sample_index * p.keys + min(key, keys_there - 1);
    return (row * (p.heads / GROUP) + head / GROUP) * p.head_width;
}

// The same in a tensor with one number a query, [sample, head, query], which is bound whole.
uint query_at(uint query)
{
    return ((p.base + sample_index) * p.heads + head) * p.queries + min(query, p.queries - 1);
}

#include "attention_mask.glsl"

// The keys that any of this lane's queries sees; or where weights are written, any of a tile that reads them.
uint keys_end()
{
    uint end = first_row + TILE;
    if (WEIGHT_ROWS != 0) end = (end + WEIGHT_ROWS - 1) / WEIGHT_ROWS * WEIGHT_ROWS;
    return keys_seen(min(end, p.queries) - 1);
}

// Where a row of weights begins, [sample, head, query, key], in vec4s. A head has whole blocks of 32 queries,
// and each of these whole blocks of 32 keys.
uint weights_start(uint query)
{
    uint rows = (p.queries + 31) / 32 * 32;
    return (((p.base + sample_index) * p.heads + head) * rows + query) * p.weight_quads;
}

#define ATTENTION_STORE(to, weight, first)                                                                   \
    [[unroll]] for (uint t = 0; t < TILE; t++) {                                                             \
        [[unroll]] for (uint j = 0; j < BLOCK; j += 4) {                                                     \
            to[weights_start(first_row + t) + ((first) + j) / 4] =                                           \
                vec4(weight[t][j], weight[t][j + 1], weight[t][j + 2], weight[t][j + 3]);                    \
        }                                                                                                    \
    }

const uint AHEAD = PM_AHEAD(BLOCK, 1); // of the other side's rows
#ifdef PM_TEXEL
#define ATTENTION_STEPS(j) const uint j = 0; // they are one: a loop that a driver need not unroll
#else
#define ATTENTION_STEPS(j) [[unroll]] for (uint j = 0; j < BLOCK; j += AHEAD)
#endif

// b[n] = the vec4 of row `from` + n of `theirs`.
#define ATTENTION_FETCH(b, theirs, their_start, from)                                                            \
    [[unroll]] for (uint n = 0; n < AHEAD; n++) b[n] = theirs(their_start((from) + n), quad, p.head_width);

// product[t][j] = inner product of row first_row + t of `mine` with row first + j of `theirs`; my_start and
// their_start are query_start or key_start.
#define ATTENTION_PRODUCTS(product, mine, my_start, theirs, their_start, first)                              \
    [[unroll]] for (uint t = 0; t < TILE; t++) {                                                             \
        [[unroll]] for (uint j = 0; j < BLOCK; j++) product[t][j] = 0.0;                                     \
    }                                                                                                        \
    for (uint quad = 0; 4 * quad < p.head_width; quad++) {                                                   \
        vec4 a[TILE], b[AHEAD];                                                                              \
        [[unroll]] for (uint t = 0; t < TILE; t++) a[t] = mine(my_start(first_row + t), quad, p.head_width); \
        ATTENTION_STEPS(j) {                                                 \
            ATTENTION_FETCH(b, theirs, their_start, (first) + j)                                             \
            [[unroll]] for (uint n = 0; n < AHEAD; n++) {                                                    \
                [[unroll]] for (uint t = 0; t < TILE; t++) {                                                 \
                    float sum = PM_MAD(a[t].x, b[n].x, product[t][j + n]);                                   \
                    sum = PM_MAD(a[t].y, b[n].y, sum);                                                       \
                    sum = PM_MAD(a[t].z, b[n].z, sum);                                                       \
                    product[t][j + n] = PM_MAD(a[t].w, b[n].w, sum);                                         \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

// Row first_row + t of `result`: itself times before[t] (zero at first), plus the sum over j of weight[t][j]
// times row first + j of `theirs`, times after[t].
#define ATTENTION_ADD(result, my_start, my_length, is_first, before, weight, theirs, their_start, first, after) \
    for (uint quad = 0; 4 * quad < p.head_width; quad++) {                                                      \
        vec4 sum[TILE], b[AHEAD];                                                                               \
        [[unroll]] for (uint t = 0; t < TILE; t++) {                                                            \
            sum[t] = vec4(0.0);                                                                                 \
            if (!(is_first)) {                                                                                  \
                sum[t] = result##_load(my_start(first_row + t), quad, p.head_width) * before[t];                \
            }                                                                                                   \
        }                                                                                                       \
        ATTENTION_STEPS(j) {                                                    \
            ATTENTION_FETCH(b, theirs, their_start, (first) + j)                                                \
            [[unroll]] for (uint n = 0; n < AHEAD; n++) {                                                       \
                [[unroll]] for (uint t = 0; t < TILE; t++) {                                                    \
                    sum[t] = PM_MAD(vec4(weight[t][j + n]), b[n], sum[t]);                                      \
                }                                                                                               \
            }                                                                                                   \
        }                                                                                                       \
        [[unroll]] for (uint t = 0; t < TILE; t++) {                                                            \
            if (first_row + t < my_length) {                                                                    \
                uint to = my_start(first_row + t);                                                              \
                PM_ROWS_STORE(result, to, quad, p.head_width, sum[t] * after[t]);                               \
            }                                                                                                   \
        }                                                                                                       \
    }

// The probability of a pair in the backward pass, from its inner product and the log-sum-exp of its query.
float probability(bool sees, float product, float log_sum)
{
    return PM_SELECT(sees, pm_flush(pm_exp(product * p.scale - log_sum)), 0.0);
}

#endif
