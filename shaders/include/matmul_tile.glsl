// A matrix product by register tiles; see matmul.glsl.
#include "pumice.glsl"
#include "tile.glsl"
#include "matmul.glsl"

// Where the row of each vec4 begins that is fetched; when A is transposed, the first term of its rows.
uint a_at[TILE_FETCHES];
// Where the column of each vec4 of B that is fetched begins; when B is not transposed, its first term.
uint b_at[TILE_B_FETCHES];

void place_a(uint first)
{
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        uint number = tile_first() + i * TILE_STEP;
        a_at[i] = a_start() + (A_TRANSPOSED ? min((piece_row() + first) / 4 + number / 4, pm_quads(p.m) - 1)
                                            : min(first + number, rows_here() - 1) * p.a_row);
    }
}

void load_a(uint first, uint k)
{
    [[unroll]] for (uint i = 0; i < TILE_AHEAD / TILE_STEP; i++) {
        uint term = k + (tile_first() + i * TILE_STEP) % 4;
        tile_fetched[i] = PM_OPERAND(a(a_at[first + i] + (A_TRANSPOSED ? term * p.a_row : k / 4)));
    }
}

void place_b()
{
    [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
        uint quad = min(tile_b_quad(p.log2_lanes, i), pm_quads(p.n) - 1);
        b_at[i] = b_start();
        b_at[i] += B_TRANSPOSED ? min(4 * quad + tile_b_term(i), p.n - 1) * p.b_row : quad;
    }
}

void load_b(uint k)
{
    [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
        tile_b_fetched[i] = PM_OPERAND(b(b_at[i] + (B_TRANSPOSED ? k / 4 : (k + tile_b_term(i)) * p.b_row)));
    }
}

uint row; // the first of the tile
vec4 addend[TILE_COLUMNS];

void leave(uint i, uint j)
{
    store_sums(row + i, tile_quad(p.log2_lanes, j), tile[i][j], addend[j]);
    if (HAS_GATE && j + 1 == TILE_COLUMNS) gate_to_next();
}

void main()
{
    row = tile_row(p.log2_lanes);

    // What lies beyond the edge of C is computed from its last row or column, and not stored.
    place_a(row);
    place_b();
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) addend[j] = bias_of(tile_quad(p.log2_lanes, j));

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
            tile_add_terms(first, TILE_AHEAD, A_TRANSPOSED, B_TRANSPOSED);
        }
    }

    if (HAS_GATE) gate_to(row);
    TILE_LEAVE(leave)
    for (uint i = 0; ACTIVATION != 0 && i < TILE_ROWS * TILE_COLUMNS; i++) {
        activate(row + i / TILE_COLUMNS, tile_quad(p.log2_lanes, i % TILE_COLUMNS));
    }
}
