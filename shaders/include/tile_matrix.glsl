// The second half of tile_shared.glsl in precision fast: each subgroup multiplies a part of the blocks by matrix
// units, in fragments of FRAGMENT_M x FRAGMENT_K by FRAGMENT_K x FRAGMENT_N elements of 16 bits, and adds up in
// f32. The sums leave through shared memory, a fragment of each subgroup at a time.
#ifndef PUMICE_TILE_MATRIX_GLSL
#define PUMICE_TILE_MATRIX_GLSL

#include "fragments.glsl"

layout(constant_id = 10) const uint FRAGMENT_M = 16;
layout(constant_id = 11) const uint FRAGMENT_N = 16;
layout(constant_id = 12) const uint FRAGMENT_K = 16;
layout(constant_id = 13) const uint SUBGROUP = 32; // lanes
layout(constant_id = 14) const uint PART_ROWS = 2; // fragments of a subgroup's part of the block
layout(constant_id = 15) const uint PART_COLUMNS = 2;

const uint SUBGROUPS = LANES / SUBGROUP, SUBGROUPS_WIDE = 4 * BLOCK_QUADS / (FRAGMENT_N * PART_COLUMNS);
const uint FRAGMENT_QUADS = FRAGMENT_N / 4; // vec4s of a row of a fragment of sums
shared float block_sums[SUBGROUPS * FRAGMENT_M * FRAGMENT_N];

// One fragment of sums, whose first row and vec4 of columns those are: brought out by the subgroup's lanes.
void finish_fragment(uint first_row, uint first_quad, bool goes_on)
{
    uint base = gl_SubgroupID * FRAGMENT_M * FRAGMENT_N;
    for (uint v = gl_SubgroupInvocationID; v < FRAGMENT_M * FRAGMENT_QUADS; v += SUBGROUP) {
        uint row = v / FRAGMENT_QUADS, quad = v % FRAGMENT_QUADS;
        vec4 sum;
        [[unroll]] for (uint c = 0; c < 4; c++) sum[c] = block_sums[base + row * FRAGMENT_N + 4 * quad + c];
        place_row(first_row + row);
        if (goes_on) sum += resume(first_quad + quad);
        finish(first_quad + quad, sum);
    }
}

// The whole kernel: sums of the terms `first` to `end`; `goes_on`: from what earlier dispatches left.
void tile_compute(uint first, uint end, bool goes_on)
{
    uint first_row = gl_SubgroupID / SUBGROUPS_WIDE * PART_ROWS * FRAGMENT_M;
    uint first_quad = gl_SubgroupID % SUBGROUPS_WIDE * PART_COLUMNS * FRAGMENT_QUADS;
    PM_FRAGMENT_SUMS sums[PART_ROWS][PART_COLUMNS];
    [[unroll]] for (uint i = 0; i < PART_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < PART_COLUMNS; j++) sums[i][j] = PM_FRAGMENT_SUMS(0.0);
    }
    place_squares();
    for (uint term = first; term < end; term += BLOCK_TERMS) {
        barrier(); // the blocks before have been read
        stage(term);
        barrier();
        [[unroll]] for (uint k = 0; k < BLOCK_TERMS; k += FRAGMENT_K) {
            PM_FRAGMENT_A a[PART_ROWS];
            [[unroll]] for (uint i = 0; i < PART_ROWS; i++) {
                coopMatLoad(a[i], block_a, (first_row + i * FRAGMENT_M) * A_STRIDE + k / 4, A_STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
            }
            [[unroll]] for (uint j = 0; j < PART_COLUMNS; j++) {
                PM_FRAGMENT_B b;
                coopMatLoad(b, block_b, k * B_STRIDE + first_quad + j * FRAGMENT_QUADS, B_STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
                [[unroll]] for (uint i = 0; i < PART_ROWS; i++) sums[i][j] = coopMatMulAdd(a[i], b, sums[i][j]);
            }
        }
    }
    [[unroll]] for (uint i = 0; i < PART_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < PART_COLUMNS; j++) {
            coopMatStore(sums[i][j], block_sums, gl_SubgroupID * FRAGMENT_M * FRAGMENT_N, FRAGMENT_N,
                         gl_CooperativeMatrixLayoutRowMajor);
            barrier();
            finish_fragment(first_row + i * FRAGMENT_M, first_quad + j * FRAGMENT_QUADS, goes_on);
            barrier(); // before the next one takes its place
        }
    }
}

#endif
