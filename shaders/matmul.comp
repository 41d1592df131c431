// A matrix product by register tiles; see include/matmul.glsl.
#version 460
#include "pumice.glsl"
#include "tile.glsl"
#include "matmul.glsl"

// Where each row begins; when A is transposed, [4 i] is for the vec4 that begins with row i.
uint a_at[TILE_ROWS];
// Where each column begins when B is transposed; else [j][0] is for the vec4 of columns.
uint b_at[TILE_COLUMNS][4];

void load_a(uint first, uint k)
{
    [[unroll]] for (uint u = 0; u < 4; u++) {
        if (A_TRANSPOSED) {
            vec4 rows = a(a_at[first] + (k + u) * pm_quads(p.m));
            [[unroll]] for (uint i = 0; i < 4; i++) tile_a[first % TILE_AHEAD + i][u] = rows[i];
        } else {
            tile_a[first % TILE_AHEAD + u] = a(a_at[first + u] + k / 4);
        }
    }
}

void load_b(uint k)
{
    [[unroll]] for (uint u = 0; u < 4; u++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            if (B_TRANSPOSED) {
                vec4 terms = b(b_at[j][u] + k / 4);
                [[unroll]] for (uint t = 0; t < 4; t++) tile_b[t][j][u] = terms[t];
            } else {
                tile_b[u][j] = b(b_at[j][0] + (k + u) * pm_quads(p.n));
            }
        }
    }
}

void main()
{
    uint row = tile_row(p.log2_lanes);

    // What lies beyond the edge of C is computed from its last row or column, and not stored.
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        a_at[i] = a_start() + (A_TRANSPOSED ? min((piece_row() + row + i) / 4, pm_quads(p.m) - 1)
                                            : min(row + i, rows_here() - 1) * terms_a_row());
    }
    vec4 addend[TILE_COLUMNS];
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        uint quad = min(tile_quad(p.log2_lanes, j), pm_quads(p.n) - 1);
        [[unroll]] for (uint c = 0; c < 4; c++) {
            b_at[j][c] = b_start() + (B_TRANSPOSED ? min(4 * quad + c, p.n - 1) * terms_a_row() : quad);
        }
        addend[j] = bias_of(quad);
    }

    tile_clear();
    if (IS_LATER) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile[i][j] = resume_sums(row + i, tile_quad(p.log2_lanes, j));
            }
        }
    }
    for (uint k = 0; k < p.k; k += 4) {
        load_b(k);
        TILE_STEPS(first) {
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i += 4) load_a(first + i, k);
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i++) tile_multiply_add(first + i);
        }
    }

    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            store_sums(row + i, tile_quad(p.log2_lanes, j), tile[i][j], addend[j]);
        }
    }
}
