// A matrix product by shared-memory tiles; see include/matmul.glsl.
#version 460
#include "pumice.glsl"
#include "tile_shared.glsl"
#include "matmul.glsl"

// Of each square of this invocation, where its rows (columns) begin; where the operand is transposed the other
// way, [0] is for the vec4 of them in the row of the first term.
uint a_at[A_SLOTS][4], b_at[B_SLOTS][4];
uint output_row;

uint first_row() { return gl_WorkGroupID.y * BLOCK_ROWS; }
uint first_quad() { return gl_WorkGroupID.x * BLOCK_QUADS; }

// What lies beyond the edge of C is computed from its last row or column, and not stored.
void place_a(uint slot, uint row)
{
    row += first_row();
    [[unroll]] for (uint i = 0; i < 4; i++) {
        a_at[slot][i] = a_start() + (A_TRANSPOSED ? min((piece_row() + row) / 4, pm_quads(p.m) - 1)
                                                  : min(row + i, rows_here() - 1) * p.a_row);
    }
}

void next_a() {}

void place_b(uint slot, uint quad)
{
    quad = min(first_quad() + quad, pm_quads(p.n) - 1);
    [[unroll]] for (uint c = 0; c < 4; c++) {
        b_at[slot][c] = b_start() + (B_TRANSPOSED ? min(4 * quad + c, p.n - 1) * p.b_row : quad);
    }
}

// K is a multiple of four: a square lies before its end or behind it.
void fetch_a(uint slot, uint term, out vec4 rows[4])
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        vec4 v = vec4(0);
        if (term < p.k) {
            v = A_TRANSPOSED ? a(a_at[slot][0] + (term + i) * p.a_row) : a(a_at[slot][i] + term / 4);
        }
        [[unroll]] for (uint u = 0; u < 4; u++) {
            if (A_TRANSPOSED) {
                rows[u][i] = v[u];
            } else {
                rows[i][u] = v[u];
            }
        }
    }
}

void fetch_b(uint slot, uint term, out vec4 terms[4])
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        vec4 v = vec4(0);
        if (term < p.k) {
            v = B_TRANSPOSED ? b(b_at[slot][i] + term / 4) : b(b_at[slot][0] + (term + i) * p.b_row);
        }
        [[unroll]] for (uint u = 0; u < 4; u++) {
            if (B_TRANSPOSED) {
                terms[u][i] = v[u];
            } else {
                terms[i][u] = v[u];
            }
        }
    }
}

void place_row(uint row)
{
    output_row = first_row() + row;
    if (HAS_GATE) gate_to(output_row);
}

vec4 resume(uint quad) { return resume_sums(output_row, first_quad() + quad); }

void finish(uint quad, vec4 sum)
{
    store_sums(output_row, first_quad() + quad, sum, bias_of(first_quad() + quad));
}

void main()
{
    tile_compute(0, p.k, IS_LATER);
#ifndef PM_MATRIX
    for (uint i = 0; ACTIVATION != 0 && i < TILE_ROWS * TILE_COLUMNS; i++) {
        activate(first_row() + block_row(i / TILE_COLUMNS), first_quad() + block_quad(i % TILE_COLUMNS));
    }
#endif
}
