// One row times a matrix: c = a op(B) (+ bias) (+ residual), what a text needs for its next token. There is
// nothing to keep of B, so an invocation has a few vec4s of columns and reads each element once; every output
// adds its K products in order, from +0, then the bias, then the residual, as in matmul.comp. K and the
// lengths of B's rows are multiples of four, c may have any length.
#version 460
#include "pumice.glsl"

layout(constant_id = 1) const uint COLUMNS = 1; // vec4s of an invocation
layout(constant_id = 2) const bool B_TRANSPOSED = false;
layout(constant_id = 3) const bool HAS_BIAS = false;
layout(constant_id = 4) const bool HAS_RESIDUAL = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint n, k;
} p;

// Bound from the piece's first column on: bias, residual, c, and B where it is transposed.
PM_INPUT4(0, a)
PM_INPUT4(1, b)
PM_INPUT4(2, bias)
PM_INPUT4(3, residual)
PM_INOUT4(4, c_quads);
PM_INOUT(4, c_elements);

void main()
{
    uint lanes = gl_WorkGroupSize.x, first = p.base * lanes * COLUMNS; // the piece's first vec4
    uint left = pm_quads(p.n) - first, row_quads = pm_quads(p.n), term_quads = p.k / 4;
    uint quad[COLUMNS], b_at[COLUMNS][4];
    vec4 sum[COLUMNS], terms[4][COLUMNS];
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
        quad[j] = (gl_WorkGroupID.x * COLUMNS + j) * lanes + gl_LocalInvocationID.x;
        uint inside = min(quad[j], left - 1); // beyond the end, the last one is computed and not stored
        [[unroll]] for (uint i = 0; i < 4; i++) {
            b_at[j][i] = B_TRANSPOSED ? min(4 * inside + i, p.n - 4 * first - 1) * term_quads : first + inside;
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
                    terms[i][j] = b(b_at[j][0] + (k + i) * row_quads);
                }
            }
        }
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            [[unroll]] for (uint t = 0; t < 4; t++) sum[j] = PM_MAD(vec4(x[t]), terms[t][j], sum[j]);
        }
    }
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
        if (quad[j] >= left) continue;
        vec4 v = sum[j] + (HAS_BIAS ? bias(quad[j]) : vec4(0)); // a sum is never -0, which + 0 would change
        if (HAS_RESIDUAL) v += residual(quad[j]);
        if (p.n % 4 == 0) {
            c_quads[quad[j]] = v;
        } else {
            PM_STORE_INSIDE(c_elements, 0, quad[j], p.n - 4 * first, v)
        }
    }
}
