// The shared-memory tile of the matrix kernels on GPUs: a workgroup computes a block of the output. It brings
// blocks of both operands into shared memory, BLOCK_TERMS terms of the sums at a time, and each invocation
// adds their products to its register tile (tile.glsl), four terms at once and in order, so that a sum has the
// bits that it has in every other kernel.
//
// Of A, four terms of a row are a vec4: [row][quad of terms]. Of B, four columns of a term: [term][quad of
// columns]. Rows are padded by a vec4, so that neighbouring invocations meet different banks: those of one
// column of lanes read rows that follow each other, 5 vec4s apart, which is why an invocation's rows are
// LANES_HIGH apart. Operands come in squares of 4 x 4 elements, read along their rows in memory and turned
// round in registers where that is the other way: the three layouts of a product differ in nothing else.
//
// A kernel says what its operands and outputs are:
//   place_a(slot, row)          this invocation's square number `slot` of A has the four rows from `row` on;
//   fetch_a(slot, term, rows)   rows[i] = terms term .. term + 3 of row i of that square, 0 beyond the last;
//   next_a()                    behind fetch_a of all its squares: goes on to the next terms;
//   place_b(slot, quad)         its square of B has the four columns `quad`;
//   fetch_b(slot, term, terms)  terms[t] = those columns of term `term + t`, 0 beyond the last;
//   place_row(row)              the outputs that follow are in this row;
//   resume(quad)                what earlier dispatches left of the sums of four columns;
//   finish(quad, sum)           stores them.
// Rows and columns are counted from the block's first.
//
// With PM_MATRIX (precision fast) elements are rounded to 16 bits on their way into shared memory, and the device's
// matrix units multiply the blocks: tile_matrix.glsl.
#ifndef PUMICE_TILE_SHARED_GLSL
#define PUMICE_TILE_SHARED_GLSL

#include "tile.glsl"

// What an element is in shared memory, and how four of them become it.
#ifdef PM_MATRIX
#include "fragments.glsl"
#define PM_STAGED PM_HALF4
#define PM_STAGE(v) PM_HALF4(v)
#else
#define PM_STAGED vec4
#define PM_STAGE(v) PM_OPERAND(v)
#endif

layout(constant_id = 7) const uint LOG2_WIDE = 3; // lanes of the workgroup along a row, and along a column
layout(constant_id = 8) const uint LOG2_HIGH = 3;
layout(constant_id = 9) const uint BLOCK_TERMS = 16;

const uint LANES = 1u << (LOG2_WIDE + LOG2_HIGH), LANES_WIDE = 1u << LOG2_WIDE, LANES_HIGH = 1u << LOG2_HIGH;
const uint BLOCK_ROWS = TILE_ROWS * LANES_HIGH, BLOCK_QUADS = TILE_COLUMNS * LANES_WIDE;
const uint TERM_QUADS = BLOCK_TERMS / 4;

// Squares of 4 x 4 elements of each block, and how many of them an invocation brings.
const uint A_SQUARES = BLOCK_ROWS / 4 * TERM_QUADS, B_SQUARES = BLOCK_QUADS * TERM_QUADS;
const uint A_SLOTS = (A_SQUARES + LANES - 1) / LANES, B_SLOTS = (B_SQUARES + LANES - 1) / LANES;

// Of 16 bits a row is padded by two, since matrix units want rows that begin at multiples of 16 bytes.
#ifdef PM_MATRIX
const uint PADDING = 2;
#else
const uint PADDING = 1;
#endif
const uint A_STRIDE = TERM_QUADS + PADDING, B_STRIDE = BLOCK_QUADS + PADDING; // in vec4s
shared PM_STAGED block_a[BLOCK_ROWS * A_STRIDE];
shared PM_STAGED block_b[BLOCK_TERMS * B_STRIDE];

void place_a(uint slot, uint row);
void fetch_a(uint slot, uint term, out vec4 rows[4]);
void next_a();
void place_b(uint slot, uint quad);
void fetch_b(uint slot, uint term, out vec4 terms[4]);
void place_row(uint row);
vec4 resume(uint quad);
void finish(uint quad, vec4 sum);

// The squares of A are brought by the first lanes, those of B by the last: where there are fewer of either
// than lanes, the two do not wait for each other.
uint a_square(uint slot) { return slot * LANES + gl_LocalInvocationID.x; }
uint b_square(uint slot) { return slot * LANES + (LANES - 1 - gl_LocalInvocationID.x); }

void place_squares()
{
    [[unroll]] for (uint s = 0; s < A_SLOTS; s++) place_a(s, a_square(s) / TERM_QUADS * 4);
    [[unroll]] for (uint s = 0; s < B_SLOTS; s++) place_b(s, b_square(s) % BLOCK_QUADS);
}

void stage(uint term)
{
    [[unroll]] for (uint s = 0; s < A_SLOTS; s++) {
        uint square = a_square(s), quad = square % TERM_QUADS;
        if (A_SQUARES % LANES == 0 || square < A_SQUARES) {
            vec4 rows[4];
            fetch_a(s, term + 4 * quad, rows);
            [[unroll]] for (uint i = 0; i < 4; i++) {
                block_a[(square / TERM_QUADS * 4 + i) * A_STRIDE + quad] = PM_STAGE(rows[i]);
            }
        }
    }
    next_a();
    [[unroll]] for (uint s = 0; s < B_SLOTS; s++) {
        uint square = b_square(s), quad = square / BLOCK_QUADS;
        if (B_SQUARES % LANES == 0 || square < B_SQUARES) {
            vec4 terms[4];
            fetch_b(s, term + 4 * quad, terms);
            [[unroll]] for (uint t = 0; t < 4; t++) {
                block_b[(4 * quad + t) * B_STRIDE + square % BLOCK_QUADS] = PM_STAGE(terms[t]);
            }
        }
    }
}

#ifdef PM_MATRIX
#include "tile_matrix.glsl"
#else

// This invocation's rows and columns of the block.
uint block_row(uint i) { return i * LANES_HIGH + gl_LocalInvocationID.x / LANES_WIDE; }
uint block_quad(uint j) { return j * LANES_WIDE + gl_LocalInvocationID.x % LANES_WIDE; }

void multiply_blocks()
{
    [[unroll]] for (uint quad = 0; quad < TERM_QUADS; quad++) {
        [[unroll]] for (uint t = 0; t < 4; t++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile_b_fetched[4 * j + t] = block_b[(4 * quad + t) * B_STRIDE + block_quad(j)];
            }
        }
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            vec4 a = block_a[block_row(i) * A_STRIDE + quad], b[4];
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile_column(j, false, b);
                tile_multiply_add(i, j, a, b);
            }
        }
    }
}

// The whole kernel: sums of the terms `first` to `end`; `goes_on`: from what earlier dispatches left.
void tile_compute(uint first, uint end, bool goes_on)
{
    place_squares();
    tile_clear();
    if (goes_on) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            place_row(block_row(i));
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) tile[i][j] = resume(block_quad(j));
        }
    }
    for (uint term = first; term < end; term += BLOCK_TERMS) {
        barrier(); // the blocks before have been read
        stage(term);
        barrier();
        multiply_blocks();
    }
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        place_row(block_row(i));
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) finish(block_quad(j), tile[i][j]);
    }
}

#endif

#endif
