// What the kernels of attention share. A lane has TILE neighbouring rows of one head ("mine": queries, or
// keys) and goes through the other side's rows ("theirs") in blocks of BLOCK. For a block it computes TILE x
// BLOCK numbers in registers, and adds them, times the block's rows, to its results in memory, four channels
// at a time: so a kernel is short whatever the width of a head, and a result is read and written once a
// block. Where WEIGHT_ROWS is not 0 it writes the numbers out instead, and attention_product.comp adds.
//
// With PM_LANES, where WEIGHT_ROWS never is 0, the lanes of a workgroup have rows of one head, and each fetches one in
// so many of the other side's rows and shows it to the others.
//
// No sum depends on TILE. BLOCK decides when the forward pass rescales, and so is the same everywhere there;
// in the backward pass it decides nothing. Both are specialization constants so that the loops over them stay
// loops until the driver unrolls them.
#ifndef PUMICE_ATTENTION_TILE_GLSL
#define PUMICE_ATTENTION_TILE_GLSL

#include "exact.glsl"
#include "rows.glsl"
#ifdef PM_LANES
#include "lanes.glsl"
#endif

layout(constant_id = 1) const uint TILE = 1;
layout(constant_id = 2) const uint BLOCK = 32;
layout(constant_id = 3) const uint MASK = 0;          // pm_mask
layout(constant_id = 4) const uint GROUP = 1;         // heads of queries that share one of keys
layout(constant_id = 5) const bool OVER_KEYS = false; // a lane has keys, not queries
// Rows that attention_product.comp, which reads the weights, takes together, a multiple of TILE; or 0.
layout(constant_id = 7) const uint WEIGHT_ROWS = 0;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint queries;
    uint keys;
    uint heads; // of queries
    uint head_width;
    uint tiles;  // of a head; with PM_LANES a multiple of a workgroup's lanes
    float scale; // 1 / sqrt(head_width)
    uint block;  // positions of a block, for PM_MASK_BLOCK
    uint weight_quads; // vec4s of a row of weights
} p;

// Where this lane works; sample and head are those of all its rows. `head` is of queries; where a lane has
// keys, the first of those that share them.
uint sample_index, head, first_row;
uint origin;     // the position of query 0 among the keys
uint keys_there; // keys beyond are not read

// At the tile of that number, counted through the heads.
void attention_begin_at(uint index)
{
    sample_index = gl_WorkGroupID.z;
    head = index / p.tiles * (OVER_KEYS ? GROUP : 1);
    first_row = index % p.tiles * TILE;
    origin = p.keys - p.queries;
    keys_there = p.keys;
}

// At this lane's tile; false for a lane that has nothing to do.
bool attention_begin()
{
    attention_begin_at(gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x);
    return head < p.heads;
}

#include "attention_rows.glsl"

// Where those of q and k begin.
uint query_start(uint query) { return query_row(query) * p.head_width; }
uint key_start(uint key) { return key_row(key, keys_there) * p.head_width; }

#include "attention_mask.glsl"

uint whole_products(uint rows) { return (rows + WEIGHT_ROWS - 1) / WEIGHT_ROWS * WEIGHT_ROWS; }

// The keys that any query before `end` sees. Where weights are written, any that attention_product.comp takes together
// with them, and whole rows of its products over keys, which begin at the first query that sees any of the keys.
uint keys_end_before(uint end)
{
    if (WEIGHT_ROWS == 0) return keys_seen(min(end, p.queries) - 1);
    return whole_products(keys_seen(min(whole_products(end), p.queries) - 1));
}

// Of this lane's queries, and of those of all lanes that go through the keys together.
uint keys_end() { return keys_end_before(first_row + TILE); }
uint keys_end_of_all()
{
#ifdef PM_LANES
    return keys_end_before(first_row + (gl_WorkGroupSize.x - gl_LocalInvocationID.x) * TILE);
#else
    return keys_end();
#endif
}

// Whether this lane has weights to write, of the keys from `first` on.
bool writes_weights(uint first, uint end)
{
#ifdef PM_LANES
    return first < end && first_row < weight_rows();
#else
    return true;
#endif
}

// Where a row of weights begins, in vec4s; it has whole blocks of 32 keys.
uint weights_start(uint query) { return weight_row(p.base + sample_index, query) * p.weight_quads; }

#define ATTENTION_STORE(to, weight, first)                                                            \
    [[unroll]] for (uint t = 0; t < TILE; t++) {                                                      \
        [[unroll]] for (uint j = 0; j < BLOCK; j += 4) {                                              \
            to[weights_start(first_row + t) + ((first) + j) / 4] =                                    \
                PM_OPERAND(vec4(weight[t][j], weight[t][j + 1], weight[t][j + 2], weight[t][j + 3])); \
        }                                                                                             \
    }

#ifdef PM_LANES
const uint AHEAD = BLOCK, FETCHED = BLOCK / gl_WorkGroupSize.x; // of the other side's rows, and of those by this lane
#else
const uint AHEAD = PM_AHEAD(BLOCK, 1), FETCHED = AHEAD;
#endif
#if defined(PM_TEXEL) || defined(PM_LANES)
#define ATTENTION_STEPS(j) const uint j = 0; // they are one: a loop that a driver need not unroll
#else
#define ATTENTION_STEPS(j) [[unroll]] for (uint j = 0; j < BLOCK; j += AHEAD)
#endif

// The vec4s of the rows of `theirs` from `from` on, and that of row `from` + n among them.
#ifdef PM_LANES
#define ATTENTION_FETCH(b, theirs, their_start, from)                          \
    [[unroll]] for (uint n = 0; n < FETCHED; n++) {                            \
        uint their = (from) + n * gl_WorkGroupSize.x + gl_LocalInvocationID.x; \
        b[n] = PM_OPERAND(theirs(their_start(their), quad, p.head_width));     \
    }
#define ATTENTION_FETCHED(b, n) pm_show(b[(n) / gl_WorkGroupSize.x], (n) % gl_WorkGroupSize.x)
#else
#define ATTENTION_FETCH(b, theirs, their_start, from)                                                            \
    [[unroll]] for (uint n = 0; n < AHEAD; n++) b[n] = PM_OPERAND(theirs(their_start((from) + n), quad, p.head_width));
#define ATTENTION_FETCHED(b, n) b[n]
#endif

// sum + a.x b.x + a.y b.y + a.z b.z + a.w b.w, in this order.
float add_products(vec4 a, vec4 b, float sum)
{
    sum = PM_MAD(a.x, b.x, sum);
    sum = PM_MAD(a.y, b.y, sum);
    sum = PM_MAD(a.z, b.z, sum);
    return PM_MAD(a.w, b.w, sum);
}

// product[t][j] = inner product of row first_row + t of `mine` with row first + j of `theirs`; my_start and
// their_start are query_start or key_start.
#define ATTENTION_PRODUCTS(product, mine, my_start, theirs, their_start, first)                                          \
    [[unroll]] for (uint t = 0; t < TILE; t++) {                                                                         \
        [[unroll]] for (uint j = 0; j < BLOCK; j++) product[t][j] = 0.0;                                                 \
    }                                                                                                                    \
    for (uint quad = 0; 4 * quad < p.head_width; quad++) {                                                               \
        vec4 a[TILE], b[FETCHED];                                                                                        \
        [[unroll]] for (uint t = 0; t < TILE; t++) a[t] = PM_OPERAND(mine(my_start(first_row + t), quad, p.head_width)); \
        ATTENTION_STEPS(j) {                                                                                             \
            ATTENTION_FETCH(b, theirs, their_start, (first) + j)                                                         \
            [[unroll]] for (uint n = 0; n < AHEAD; n++) {                                                                \
                vec4 b_n = ATTENTION_FETCHED(b, n);                                                                      \
                [[unroll]] for (uint t = 0; t < TILE; t++) {                                                             \
                    product[t][j + n] = add_products(a[t], b_n, product[t][j + n]);                                      \
                }                                                                                                        \
            }                                                                                                            \
        }                                                                                                                \
    }

// Row first_row + t of `result`: itself times before[t] (zero at first), plus the sum over j of weight[t][j]
// times row first + j of `theirs`, times after[t].
#define ATTENTION_ADD(result, my_start, my_length, is_first, before, weight, theirs, their_start, first, after) \
    for (uint quad = 0; 4 * quad < p.head_width; quad++) {                                                      \
        vec4 sum[TILE], b[FETCHED];                                                                             \
        [[unroll]] for (uint t = 0; t < TILE; t++) {                                                            \
            sum[t] = vec4(0.0);                                                                                 \
            if (!(is_first)) {                                                                                  \
                sum[t] = result##_load(my_start(first_row + t), quad, p.head_width) * before[t];                \
            }                                                                                                   \
        }                                                                                                       \
        ATTENTION_STEPS(j) {                                                                                    \
            ATTENTION_FETCH(b, theirs, their_start, (first) + j)                                                \
            [[unroll]] for (uint n = 0; n < AHEAD; n++) {                                                       \
                vec4 b_n = ATTENTION_FETCHED(b, n);                                                             \
                [[unroll]] for (uint t = 0; t < TILE; t++) {                                                    \
                    sum[t] = PM_MAD(vec4(PM_OPERAND(weight[t][j + n])), b_n, sum[t]);                           \
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

const float HIDDEN = -1e30; // the score of a key that a query does not see; far below any other

// The score of a pair, from its inner product, and its weight beside those of the scores up to `highest`.
float score_of(bool sees, float product) { return PM_SELECT(sees, product * p.scale, HIDDEN); }
float weight_of(float score, float highest) { return pm_flush(pm_exp(score - highest)); }

// The probability of a pair in the backward pass, from its inner product and the log-sum-exp of its query.
float probability(bool sees, float product, float log_sum)
{
    return PM_SELECT(sees, pm_flush(pm_exp(product * p.scale - log_sum)), 0.0);
}

#endif
