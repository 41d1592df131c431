// What the kernels of attention by matrix units share (precision fast), after FlashAttention-2 (2307.08691). A
// workgroup has MINE neighbouring rows of one head ("mine": queries, or keys) and goes through the other side's rows
// ("theirs"), THEIRS at a time. Operands are rounded to 16 bits on their way into shared memory; sums are f32.
//
// HIGH x WIDE subgroups. Those of one strip, WIDE side by side, have FRAGMENT_M of the rows, and share out the columns
// of their scores and of their results, which stay in registers to the end. Nobody knows where in a fragment a row
// is. So scores go through shared memory, where a lane has a part of one row: what it makes of them is rounded to
// 16 bits, as weights, which are multiplied next.
#ifndef PUMICE_ATTENTION_MATRIX_GLSL
#define PUMICE_ATTENTION_MATRIX_GLSL

#include "fragments.glsl"

layout(constant_id = 1) const uint HEAD_WIDTH = 64;
layout(constant_id = 2) const uint MASK = 0;  // pm_mask
layout(constant_id = 3) const uint GROUP = 1; // heads of queries that share one of keys
layout(constant_id = 4) const uint FRAGMENT_M = 16;
layout(constant_id = 5) const uint FRAGMENT_N = 16;
layout(constant_id = 6) const uint FRAGMENT_K = 16;
layout(constant_id = 7) const uint SUBGROUP = 32; // lanes
layout(constant_id = 8) const uint HIGH = 4;
layout(constant_id = 9) const uint WIDE = 1;
layout(constant_id = 10) const uint THEIRS = 32;
layout(constant_id = 11) const uint KEPT = 0; // rows of mine that stay in shared memory; 0: in registers
layout(constant_id = 12) const bool AHEAD = true; // a lane fetches all of its part of theirs before it waits for any

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint queries;
    uint keys;
    uint heads;  // of queries
    float scale; // 1 / sqrt(HEAD_WIDTH)
    uint block;  // positions of a block, for PM_MASK_BLOCK
} p;

const uint LANES = HIGH * WIDE * SUBGROUP, MINE = HIGH * FRAGMENT_M;
const uint HEAD_QUADS = HEAD_WIDTH / 4, SCORE_QUADS = THEIRS / 4;
const uint LANES_OF_ROW = WIDE * SUBGROUP / FRAGMENT_M, LANE_QUADS = SCORE_QUADS / LANES_OF_ROW;
// Fragments of a subgroup, side by side. Where there are fewer of scores than subgroups, the last ones have none.
const uint COLUMNS = HEAD_WIDTH / (FRAGMENT_N * WIDE), BUSY = WIDE * FRAGMENT_N < THEIRS ? WIDE : THEIRS / FRAGMENT_N;
const uint SCORE_COLUMNS = THEIRS / (FRAGMENT_N * BUSY);

// Rows in shared memory, in vec4s, are padded so that neighbouring ones lie in different banks.
const uint STRIDE = HEAD_QUADS + 2, SCORE_STRIDE = SCORE_QUADS + 1, WEIGHT_STRIDE = SCORE_QUADS + 2;
shared PM_HALF4 rows[(2 * THEIRS + KEPT) * STRIDE]; // two tensors of theirs; mine, if they are kept
const uint FRAGMENT_QUADS = FRAGMENT_M * FRAGMENT_N / 4;
const uint LEAVING = HIGH * WIDE * FRAGMENT_QUADS; // a fragment of each subgroup, in the end
shared vec4 scores[MINE * SCORE_STRIDE > LEAVING ? MINE * SCORE_STRIDE : LEAVING];
shared PM_HALF4 weights[MINE * WEIGHT_STRIDE];
shared float parts[MINE * LANES_OF_ROW]; // what the lanes of a row tell each other
shared float factors[MINE];

const float LOG2_E = 1.44269504, LOG_2 = 0.693147181;

uint sample_index, head, first_row; // head: of queries; where mine are keys, one of those that share them
uint origin;                        // the position of query 0 among the keys
uint strip, part;                   // of HIGH, of WIDE: this subgroup's
uint my_row, my_quad;               // of the block, and of a row of scores: where this lane's part begins

#include "attention_mask.glsl"

void attention_begin(uint tile)
{
    uint lane = gl_SubgroupID % WIDE * SUBGROUP + gl_SubgroupInvocationID;
    sample_index = gl_WorkGroupID.z;
    first_row = tile * MINE;
    origin = p.keys - p.queries;
    strip = gl_SubgroupID / WIDE;
    part = gl_SubgroupID % WIDE;
    my_row = strip * FRAGMENT_M + lane % FRAGMENT_M;
    my_quad = lane / FRAGMENT_M * LANE_QUADS;
}

#include "attention_rows.glsl"

// Where those of q and k begin, in vec4s.
uint query_start(uint query) { return query_row(query) * HEAD_QUADS; }
uint key_start(uint key) { return key_row(key, p.keys) * HEAD_QUADS; }

// Waits for the lanes of this strip.
void strip_barrier()
{
    if (WIDE == 1) {
        subgroupBarrier();
    } else {
        barrier();
    }
}

// The sum of what the lanes of a row have.
float row_sum(float mine)
{
    parts[my_row * LANES_OF_ROW + my_quad / LANE_QUADS] = mine;
    strip_barrier();
    float sum = 0.0;
    [[unroll]] for (uint i = 0; i < LANES_OF_ROW; i++) sum += parts[my_row * LANES_OF_ROW + i];
    return sum;
}

// This lane's vec4 number v of scores, and of weights.
vec4 score(uint v) { return scores[my_row * SCORE_STRIDE + my_quad + v]; }
void set_weight(uint v, vec4 weight) { weights[my_row * WEIGHT_STRIDE + my_quad + v] = PM_HALF4(weight); }

// The number of the first of those four among theirs.
uint their_number(uint v) { return 4 * (my_quad + v); }

// Brings vec4 number i of a tensor's rows from row `first` on to rows[at].
#define ATTENTION_BRING_QUAD(i, at, tensor, start, first)         \
    rows[((at) + (i) / HEAD_QUADS) * STRIDE + (i) % HEAD_QUADS] = \
        PM_HALF4(tensor(start((first) + (i) / HEAD_QUADS) + (i) % HEAD_QUADS));

// Brings `count` rows. No compiler unrolls this loop, whose end depends on the lane, so each vec4 is waited for.
#define ATTENTION_BRING(at, count, tensor, start, first)                          \
    for (uint i = gl_LocalInvocationID.x; i < (count) * HEAD_QUADS; i += LANES) { \
        ATTENTION_BRING_QUAD(i, at, tensor, start, first)                         \
    }

// The same for THEIRS rows, of which every lane has as many vec4s: where the compiler likes, all are on their way at
// once.
#define ATTENTION_BRING_AHEAD(at, tensor, start, first)                               \
    [[unroll]] for (uint quad = 0; quad < THEIRS * HEAD_QUADS; quad += LANES) {       \
        ATTENTION_BRING_QUAD(quad + gl_LocalInvocationID.x, at, tensor, start, first) \
    }

// Both tensors of theirs, from row `first` on.
#define ATTENTION_THEIRS(a, b, start, first)             \
    if (AHEAD) {                                         \
        ATTENTION_BRING_AHEAD(0, a, start, first)        \
        ATTENTION_BRING_AHEAD(THEIRS, b, start, first)   \
    } else {                                             \
        ATTENTION_BRING(0, THEIRS, a, start, first)      \
        ATTENTION_BRING(THEIRS, THEIRS, b, start, first) \
    }

// Tensor `number` of mine, before theirs: kept in shared memory, or in registers, as mine[number].
#define ATTENTION_MINE(number, tensor, start)                                                     \
    ATTENTION_BRING(KEPT == 0 ? 0 : 2 * THEIRS + (number) * MINE, MINE, tensor, start, first_row) \
    barrier();                                                                                    \
    if (KEPT == 0) {                                                                              \
        [[unroll]] for (uint k = 0; k < HEAD_WIDTH / FRAGMENT_K; k++) {                           \
            coopMatLoad(mine[number][k], rows, strip * FRAGMENT_M * STRIDE + k * FRAGMENT_K / 4,  \
                        STRIDE, gl_CooperativeMatrixLayoutRowMajor);                              \
        }                                                                                         \
        barrier();                                                                                \
    }

// scores = tensor `number` of mine times the transpose of their tensor `their`.
#define ATTENTION_SCORES(number, their)                                                               \
    if (BUSY == WIDE || part < BUSY) {                                                                \
        PM_FRAGMENT_SUMS products[SCORE_COLUMNS];                                                     \
        [[unroll]] for (uint j = 0; j < SCORE_COLUMNS; j++) products[j] = PM_FRAGMENT_SUMS(0.0);      \
        [[unroll]] for (uint k = 0; k < HEAD_WIDTH / FRAGMENT_K; k++) {                               \
            if (KEPT != 0) {                                                                          \
                uint row = 2 * THEIRS + (number) * MINE + strip * FRAGMENT_M;                         \
                coopMatLoad(mine[number][k], rows, row * STRIDE + k * FRAGMENT_K / 4, STRIDE,         \
                            gl_CooperativeMatrixLayoutRowMajor);                                      \
            }                                                                                         \
            [[unroll]] for (uint j = 0; j < SCORE_COLUMNS; j++) {                                     \
                PM_FRAGMENT_B b;                                                                      \
                uint row = (their) * THEIRS + (part * SCORE_COLUMNS + j) * FRAGMENT_N;                \
                coopMatLoad(b, rows, row * STRIDE + k * FRAGMENT_K / 4, STRIDE,                       \
                            gl_CooperativeMatrixLayoutColumnMajor);                                   \
                products[j] = coopMatMulAdd(mine[number][k], b, products[j]);                         \
            }                                                                                         \
        }                                                                                             \
        [[unroll]] for (uint j = 0; j < SCORE_COLUMNS; j++) {                                         \
            uint quad = (part * SCORE_COLUMNS + j) * FRAGMENT_N / 4;                                  \
            coopMatStore(products[j], scores, strip * FRAGMENT_M * SCORE_STRIDE + quad, SCORE_STRIDE, \
                         gl_CooperativeMatrixLayoutRowMajor);                                         \
        }                                                                                             \
    }

// sums += weights times their tensor `their`.
#define ATTENTION_SUM(sums, their)                                                         \
    [[unroll]] for (uint k = 0; k < THEIRS; k += FRAGMENT_K) {                             \
        PM_FRAGMENT_A a;                                                                   \
        coopMatLoad(a, weights, strip * FRAGMENT_M * WEIGHT_STRIDE + k / 4, WEIGHT_STRIDE, \
                    gl_CooperativeMatrixLayoutRowMajor);                                   \
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {                                    \
            PM_FRAGMENT_B b;                                                               \
            uint quad = (part * COLUMNS + j) * FRAGMENT_N / 4;                             \
            coopMatLoad(b, rows, ((their) * THEIRS + k) * STRIDE + quad, STRIDE,           \
                        gl_CooperativeMatrixLayoutRowMajor);                               \
            sums[j] = coopMatMulAdd(a, b, sums[j]);                                        \
        }                                                                                  \
    }

// Writes the rows of `sums` that there are, each times factor(its number in the block). They leave through the memory
// of the scores, a fragment of each subgroup at a time.
#define ATTENTION_FINISH(sums, result, start, length, factor)                                           \
    barrier();                                                                                          \
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {                                                     \
        const uint quads = FRAGMENT_N / 4;                                                              \
        uint base = gl_SubgroupID * FRAGMENT_M * quads;                                                 \
        coopMatStore(sums[j], scores, base, quads, gl_CooperativeMatrixLayoutRowMajor);                 \
        subgroupBarrier();                                                                              \
        for (uint v = gl_SubgroupInvocationID; v < FRAGMENT_M * quads; v += SUBGROUP) {                 \
            uint row = strip * FRAGMENT_M + v / quads, quad = (part * COLUMNS + j) * quads + v % quads; \
            if (first_row + row < (length)) {                                                           \
                result[start(first_row + row) + quad] = scores[base + v] * factor(row);                 \
            }                                                                                           \
        }                                                                                               \
        subgroupBarrier();                                                                              \
    }

#endif
