// What the kernels of a matrix product share: their constants and operands, and how a sum becomes an output.
//
// C[z] = op(A[z]) op(B[z]) (+ bias) (* gate) (+ D[z]), and an activation. Every output adds its K products in
// order, from +0, whatever the tile; then epilogue.glsl: the bias of its column, its gate, its residual D.
// Matrices are row-major; op(A) is [M, K], op(B) is [K, N]. K, and the lengths of all rows but C's, are
// multiples of four (N counts C's columns: B and D have pm_quads(N) vec4s a row).
#ifndef PUMICE_MATMUL_GLSL
#define PUMICE_MATMUL_GLSL

#define PM_EPILOGUE_ID 5
#include "divisor.glsl"
#include "epilogue.glsl"

// 0: A [M, K], B [K, N].  1: A [M, K], B [N, K].  2: A [K, M], B [K, N].
layout(constant_id = 4) const uint LAYOUT = 0;
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
    uint a_row, b_row; // from a row of A, or of B, as it lies in memory, to the next, in vec4s
    // In parts:
    uint a_first, b_first, d_first; // where the parts begin in their bindings, in vec4s
    uint c_first;                   // the same, in elements
    uint column_quad, width;        // the first column, in vec4s; elements of a row of C
    // Of one matrix: row r of C has the gate from vec4 gate_first + r / n * gate_sample + r % n * gate_row on,
    // with n = gate_rows.
    uint gate_first, gate_sample, gate_row;
    pm_divisor gate_rows;
} p;

PM_INPUT4(0, a)
PM_INPUT4(1, b)
PM_INPUT4(2, bias)
PM_INPUT4(3, residual)
PM_TILE_OUTPUT(4)
PM_INPUT4(5, gate)

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

uint piece_row() { return (p.flags & IS_BATCHED) != 0 ? 0 : p.base * tile_group_rows(p.log2_lanes); }

// The gate of the row at hand begins at vec4 gate_at, and that of so many rows, itself included, in its sample.
uint gate_at, gate_left;

void gate_to(uint row)
{
    row += piece_row();
    uint s = pm_quotient(row, p.gate_rows), of_sample = row - s * p.gate_rows.n;
    gate_at = p.gate_first + s * p.gate_sample + of_sample * p.gate_row + (IN_PARTS ? p.column_quad : 0);
    gate_left = p.gate_rows.n - of_sample;
}

void gate_to_next()
{
    bool goes_on = --gate_left != 0;
    gate_at += goes_on ? p.gate_row : p.gate_sample - (p.gate_rows.n - 1) * p.gate_row;
    gate_left = goes_on ? gate_left : p.gate_rows.n;
}

uint rows_here() { return p.m - piece_row(); } // of C, from the piece's first on

uint a_start() { return IN_PARTS ? p.a_first : gl_WorkGroupID.z * p.a_stride; }
uint b_start() { return IN_PARTS ? p.b_first : gl_WorkGroupID.z * p.b_stride; }

vec4 bias_of(uint quad)
{
    vec4 v = vec4(0);
    if ((p.flags & HAS_BIAS) != 0) v = bias((IN_PARTS ? p.column_quad : 0) + min(quad, pm_quads(p.n) - 1));
    return v;
}

// What a dispatch before this one left of the sums of that vec4 of a row.
vec4 resume_sums(uint row, uint quad)
{
    vec4 v = vec4(0);
    if (row < rows_here() && quad < pm_quads(p.n)) v = tile_load(row_start(gl_WorkGroupID.z, row), quad, p.n);
    return v;
}

// `addend` is bias_of(quad); a sum is never -0, which + 0 would change.
void store_sums(uint row, uint quad, vec4 sum, vec4 addend)
{
    if (row < rows_here() && quad < pm_quads(p.n)) {
        vec4 v = sum + addend;
        if (HAS_GATE) v *= gate(gate_at + quad);
        if (HAS_RESIDUAL) v += residual(residual_start(gl_WorkGroupID.z, row) + quad);
        if (ACTIVATES_IN_PLACE) v = pm_activation(ACTIVATION, v);
        PM_TILE_STORE_AT(row_start(gl_WorkGroupID.z, row), quad, p.n, v)
    }
}

// Of what store_sums has written.
void activate(uint row, uint quad)
{
    if (row < rows_here() && quad < pm_quads(p.n)) {
        uint start = row_start(gl_WorkGroupID.z, row);
        PM_TILE_STORE_AT(start, quad, p.n, pm_activation(ACTIVATION, tile_load(start, quad, p.n)))
    }
}

#endif
