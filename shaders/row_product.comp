// One row times a matrix, or up to three of them: c = a op(B), and epilogue.glsl, what a text needs for its
// next token. There is nothing to keep of B, so an invocation has a few vec4s of columns and reads each
// element once; every output adds its K products in order, from +0, as in matmul.comp. K and the lengths of
// B's rows are multiples of four, c may have any length. Of several matrices one binding has all, and one all
// biases; each workgroup works on one of them.
#version 460
#include "pumice.glsl"

layout(constant_id = 1) const uint COLUMNS = 1; // vec4s of an invocation
layout(constant_id = 2) const bool B_TRANSPOSED = false;
layout(constant_id = 3) const bool HAS_BIAS = false;
layout(constant_id = 5) const uint MATRICES = 1; // of several: nothing but the bias is added

#define PM_EPILOGUE_ID 4
#include "epilogue.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint k;
    uint first_group[3]; // of each matrix
    uint n[3];
    uint b_first[3], bias_first[3]; // where they begin, in vec4s
    uint gate_first;
} p;

PM_INPUT4(0, a)
PM_INPUT4(1, b)
PM_INPUT4(2, bias)
PM_INPUT4(3, residual)
PM_INOUT4(4, c_quads);
PM_INOUT(4, c_elements);
PM_OUTPUT4(5, c1_quads); // of several, rows are whole vec4s
PM_OUTPUT4(6, c2_quads);
PM_INPUT4(7, gate)

void store(uint which, uint quad, vec4 v)
{
    if (MATRICES > 1 && which == 1) {
        c1_quads[quad] = v;
    } else if (MATRICES > 2 && which == 2) {
        c2_quads[quad] = v;
    } else if (MATRICES > 1 || p.n[0] % 4 == 0) {
        c_quads[quad] = v;
    } else {
        PM_STORE_INSIDE(c_elements, 0, quad, p.n[0], v)
    }
}

vec4 stored(uint quad)
{
    if (p.n[0] % 4 == 0) return c_quads[quad];
    vec4 v;
    PM_LOAD_INSIDE(c_elements, 0, quad, p.n[0], v)
    return v;
}

void main()
{
    uint group = p.base + gl_WorkGroupID.x, lanes = gl_WorkGroupSize.x, which = 0;
    if (MATRICES > 1 && group >= p.first_group[1]) which = 1;
    if (MATRICES > 2 && group >= p.first_group[2]) which = 2;
    uint n = p.n[which], quads = pm_quads(n), term_quads = p.k / 4, first_quad[COLUMNS], b_at[COLUMNS][4];
    vec4 sum[COLUMNS], terms[4][COLUMNS];
    group -= p.first_group[which];
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
        first_quad[j] = (group * COLUMNS + j) * lanes + gl_LocalInvocationID.x;
        uint inside = min(first_quad[j], quads - 1); // beyond the end, the last one is computed and not stored
        [[unroll]] for (uint i = 0; i < 4; i++) {
            b_at[j][i] = p.b_first[which] + (B_TRANSPOSED ? min(4 * inside + i, n - 1) * term_quads : inside);
        }
        sum[j] = vec4(0);
    }
    for (uint k = 0; k < p.k; k += 4) {
        vec4 x = a(k / 4);
        [[unroll]] for (uint i = 0; i < 4; i++) {
            [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
                if (B_TRANSPOSED) {
                    vec4 row = b(b_at[j][i] + k / 4);
                    [[unroll]] for (uint t = 0; t < 4; t++) terms[t][j][i] = row[t];
                } else {
                    terms[i][j] = b(b_at[j][0] + (k + i) * quads);
                }
            }
        }
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            [[unroll]] for (uint t = 0; t < 4; t++) sum[j] = PM_MAD(vec4(x[t]), terms[t][j], sum[j]);
        }
    }
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
        uint quad = first_quad[j];
        if (quad >= quads) continue;
        vec4 v = sum[j]; // never -0, which + 0 would change
        if (HAS_BIAS) v += bias(p.bias_first[which] + quad);
        if (HAS_GATE) v *= gate(p.gate_first + quad);
        if (HAS_RESIDUAL) v += residual(quad);
        store(which, quad, v);
    }
    for (uint j = 0; ACTIVATION != 0 && j < COLUMNS; j++) {
        uint quad = (group * COLUMNS + j) * lanes + gl_LocalInvocationID.x;
        if (quad < quads) store(0, quad, pm_activation(ACTIVATION, stored(quad)));
    }
}
