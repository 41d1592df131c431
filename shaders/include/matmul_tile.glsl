// A matrix product by register tiles; see matmul.glsl.
#include "pumice.glsl"
#include "tile.glsl"
#include "matmul.glsl"

// Where the row of each vec4 begins that is fetched; when A is transposed, the first term of its rows.
uint a_at[TILE_FETCHES];
// Where each column begins when B is transposed; else [j][0] is for the vec4 of columns.
uint b_at[TILE_COLUMNS][4];

void place_a(uint first)
{
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        uint number = tile_first() + i * TILE_STEP;
        a_at[i] = a_start() + (A_TRANSPOSED ? min((piece_row() + first) / 4 + number / 4, pm_quads(p.m) - 1)
                                            : min(first + number, rows_here() - 1) * terms_a_row());
    }
}

void load_a(uint first, uint k)
{
    [[unroll]] for (uint i = 0; i < TILE_AHEAD / TILE_STEP; i++) {
        uint term = k + (tile_first() + i * TILE_STEP) % 4;
        tile_fetched[i] = a(a_at[first + i] + (A_TRANSPOSED ? term * pm_quads(p.m) : k / 4));
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
    place_a(row);
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
            load_a(first, k);
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i++) {
                tile_multiply_add(first + i, A_TRANSPOSED ? tile_a_across(i) : tile_a(i));
            }
        }
    }

    if (HAS_GATE) gate_to(row);
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            store_sums(row + i, tile_quad(p.log2_lanes, j), tile[i][j], addend[j]);
        }
        if (HAS_GATE) gate_to_next();
    }
    for (uint i = 0; ACTIVATION != 0 && i < TILE_ROWS * TILE_COLUMNS; i++) {
        activate(row + i / TILE_COLUMNS, tile_quad(p.log2_lanes, i % TILE_COLUMNS));
    }
}
