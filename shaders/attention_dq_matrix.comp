// dQ = dS K scale with dS = P (dO V^T - delta), and delta, the inner product of dO and O of a query, by matrix units;
// see attention_matrix.glsl. What attention_dq.glsl computes: reference pm_attention_backward_reference in
// runtime/ops/attention_reference.c. The scale comes last, so that fewer numbers are too small for f16.
#version 460
#include "pumice.glsl"
#include "attention_matrix.glsl"

PM_INPUT4(0, q)
PM_INPUT4(1, k)
PM_INPUT4(2, v)
PM_INPUT4(3, y)
PM_INPUT4(4, dy)
PM_INPUT(5, log_sums)
PM_OUTPUT4(6, dq);
PM_OUTPUT(7, deltas); // [sample, head, query]

float factor_of(uint row) { return p.scale; }

// delta of this lane's row.
float find_delta()
{
    uint start = query_start(first_row + my_row);
    vec4 sum = vec4(0.0);
    for (uint quad = my_quad / LANE_QUADS; quad < HEAD_QUADS; quad += LANES_OF_ROW) {
        sum += y(start + quad) * dy(start + quad);
    }
    float delta = row_sum((sum.x + sum.y) + (sum.z + sum.w));
    if (my_quad == 0 && first_row + my_row < p.queries) deltas[query_at(first_row + my_row)] = delta;
    return delta;
}

void main()
{
    attention_begin(gl_NumWorkGroups.x - 1 - gl_WorkGroupID.x);
    head = gl_WorkGroupID.y;
    PM_FRAGMENT_A mine[2][HEAD_WIDTH / FRAGMENT_K];
    PM_FRAGMENT_SUMS sums[COLUMNS];
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[j] = PM_FRAGMENT_SUMS(0.0);
    ATTENTION_MINE(0, q, query_start)
    ATTENTION_MINE(1, dy, query_start)
    uint seen = keys_seen(first_row + my_row), end = keys_seen(min(first_row + MINE, p.queries) - 1);
    float delta = find_delta(), log_sum = log_sums(query_at(first_row + my_row)) * LOG2_E;
    for (uint first = 0; first < end; first += THEIRS) {
        ATTENTION_THEIRS(k, v, key_start, first)
        barrier();
        ATTENTION_SCORES(0, 0)
        strip_barrier();
        vec4 chance[LANE_QUADS];
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
            bvec4 sees = lessThan(first + their_number(i) + uvec4(0, 1, 2, 3), uvec4(seen));
            chance[i] = mix(vec4(0.0), exp2(score(i) * (p.scale * LOG2_E) - log_sum), sees);
        }
        strip_barrier();
        ATTENTION_SCORES(1, 1)
        strip_barrier();
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) set_weight(i, chance[i] * (score(i) - delta));
        strip_barrier();
        ATTENTION_SUM(sums, 0)
        barrier(); // before the next rows take the place of these
    }
    ATTENTION_FINISH(sums, dq, query_start, p.queries, factor_of)
}
