// C[z] = op(A[z]) op(B[z]) (+ bias) (+ D[z]). Every output adds its K products in order, from +0, whatever
// the tile; then the bias of its column, then its residual D. Matrices are row-major; op(A) is [M, K], op(B)
// is [K, N]. K, and the lengths of all rows but C's, are multiples of four (N counts C's columns: B and D
// have pm_quads(N) vec4s a row).
#version 460
#include "pumice.glsl"
#include "tile.glsl"

// 0: A [M, K], B [K, N].  1: A [M, K], B [N, K].  2: A [K, M], B [K, N].
layout(constant_id = 4) const uint LAYOUT = 0;
layout(constant_id = 5) const bool HAS_RESIDUAL = false;
layout(constant_id = 6) const uint PART = 0; // the whole product; a part of it; one whose sums go on from C
const bool IN_PARTS = PART != 0, IS_LATER = PART == 2;
const bool B_TRANSPOSED = LAYOUT == 1, A_TRANSPOSED = LAYOUT == 2;

// A product whose operands exceed the device's storage range is computed by several dispatches, each with
// some of the K terms of all sums, or with some columns of C; m, n and k are then those of the dispatch.

const uint HAS_BIAS = 1;
// The split axis is z; else it is y, and C, D and A (unless it is transposed) are bound from the first row of
// the piece on.
const uint IS_BATCHED = 2;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint m, n, k;
    uint a_stride, b_stride, d_stride; // from one matrix of the batch to the next, in vec4s
    uint log2_lanes, flags;
    // In parts:
    uint term_quads;                // of a row of A or B that lies along K: from one to the next, in vec4s
    uint a_first, b_first, d_first; // where the parts begin in their bindings, in vec4s
    uint c_first;                   // the same, in elements
    uint column_quad, width;        // the first column, in vec4s; elements of a row of C
} p;

PM_INPUT4(0, a)
PM_INPUT4(1, b)
PM_INPUT4(2, bias)
PM_INPUT4(3, residual)
PM_TILE_OUTPUT(4)

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

// Where this dispatch's part of a row of C begins, in elements, and of a row of D, in vec4s.
uint row_start(uint z, uint row)
{
    return IN_PARTS ? p.c_first + row * p.width + 4 * p.column_quad : (z * p.m + row) * p.n;
}

uint residual_start(uint z, uint row)
{
    if (IN_PARTS) return p.d_first + row * pm_quads(p.width) + p.column_quad;
    return z * p.d_stride + row * pm_quads(p.n);
}

void main()
{
    uint piece = (p.flags & IS_BATCHED) != 0 ? 0 : p.base * tile_group_rows(p.log2_lanes); // its first row
    uint rows = p.m - piece, row = tile_row(p.log2_lanes), z = gl_WorkGroupID.z;
    uint term_quads = IN_PARTS ? p.term_quads : p.k / 4;

    // What lies beyond the edge of C is computed from its last row or column, and not stored.
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        a_at[i] = IN_PARTS ? p.a_first : z * p.a_stride;
        a_at[i] += A_TRANSPOSED ? min((piece + row + i) / 4, pm_quads(p.m) - 1)
                                : min(row + i, rows - 1) * term_quads;
    }
    vec4 addend[TILE_COLUMNS];
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        uint quad = min(tile_quad(p.log2_lanes, j), pm_quads(p.n) - 1);
        [[unroll]] for (uint c = 0; c < 4; c++) {
            b_at[j][c] = IN_PARTS ? p.b_first : z * p.b_stride;
            b_at[j][c] += B_TRANSPOSED ? min(4 * quad + c, p.n - 1) * term_quads : quad;
        }
        addend[j] = vec4(0);
        if ((p.flags & HAS_BIAS) != 0) addend[j] = bias(IN_PARTS ? p.column_quad + quad : quad);
    }

    tile_clear();
    if (IS_LATER) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                uint quad = tile_quad(p.log2_lanes, j);
                if (row + i < rows && quad < pm_quads(p.n)) {
                    tile[i][j] = tile_load(row_start(z, row + i), quad, p.n);
                }
            }
        }
    }
    for (uint k = 0; k < p.k; k += 4) {
        load_b(k);
        [[unroll]] for (uint first = 0; first < TILE_ROWS; first += TILE_AHEAD) {
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i += 4) load_a(first + i, k);
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i++) tile_multiply_add(first + i);
        }
    }

    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            uint quad = tile_quad(p.log2_lanes, j);
            if (row + i < rows && quad < pm_quads(p.n)) {
                vec4 v = tile[i][j] + addend[j]; // a sum is never -0, which + 0 would change
                if (HAS_RESIDUAL) v += residual(residual_start(z, row + i) + quad);
                PM_TILE_STORE_AT(row_start(z, row + i), quad, p.n, v)
            }
        }
    }
}
