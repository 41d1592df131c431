// softmax(Q K^T scale) V, and the log-sum-exp of each row of scores, by matrix units; see attention_matrix.glsl.
// What attention.glsl computes: reference pm_attention_reference in runtime/ops/attention_reference.c.
#version 460
#include "pumice.glsl"
#include "attention_matrix.glsl"

PM_INPUT4(0, q)
PM_INPUT4(1, k)
PM_INPUT4(2, v)
PM_OUTPUT4(3, y);
PM_OUTPUT(4, log_sums); // [sample, head, query]

const float HIDDEN = -1e30; // the score of a key that a query does not see; far below any other

float factor_of(uint row) { return factors[row]; }

void main()
{
    attention_begin(gl_NumWorkGroups.x - 1 - gl_WorkGroupID.x); // where a mask is, the last ones see the most
    head = gl_WorkGroupID.y;
    PM_FRAGMENT_A mine[1][HEAD_WIDTH / FRAGMENT_K];
    PM_FRAGMENT_SUMS sums[COLUMNS];
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[j] = PM_FRAGMENT_SUMS(0.0);
    ATTENTION_MINE(0, q, query_start)
    uint seen = keys_seen(first_row + my_row), end = keys_seen(min(first_row + MINE, p.queries) - 1);
    float top = HIDDEN, total = 0.0; // of a row, in powers of two; of this lane's part of it
    for (uint first = 0; first < end; first += THEIRS) {
        ATTENTION_THEIRS(k, v, key_start, first)
        barrier();
        ATTENTION_SCORES(0, 0)
        strip_barrier();
        vec4 mine_of_row[LANE_QUADS];
        float highest = HIDDEN, sum = 0.0;
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
            vec4 s = score(i) * (p.scale * LOG2_E);
            bvec4 sees = lessThan(first + their_number(i) + uvec4(0, 1, 2, 3), uvec4(seen));
            mine_of_row[i] = s = mix(vec4(HIDDEN), s, sees);
            highest = max(highest, max(max(s.x, s.y), max(s.z, s.w)));
        }
        parts[my_row * LANES_OF_ROW + my_quad / LANE_QUADS] = highest;
        strip_barrier();
        highest = top;
        [[unroll]] for (uint i = 0; i < LANES_OF_ROW; i++) {
            highest = max(highest, parts[my_row * LANES_OF_ROW + i]);
        }
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
            vec4 weight = exp2(mine_of_row[i] - highest);
            sum += (weight.x + weight.y) + (weight.z + weight.w);
            set_weight(i, weight);
        }
        float before = exp2(top - highest);
        total = total * before + sum;
        top = highest;
        if (my_quad == 0) factors[my_row] = before;
        strip_barrier();
        PM_FRAGMENT_SUMS factor; // of each row: columns that are all the same
        coopMatLoad(factor, factors, strip * FRAGMENT_M, 0, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[j] = sums[j] * factor;
        ATTENTION_SUM(sums, 1)
        barrier(); // before the next rows take the place of these
    }
    total = row_sum(total);
    if (my_quad == 0) {
        factors[my_row] = 1.0 / total;
        uint query = first_row + my_row;
        if (query < p.queries) log_sums[query_at(query)] = top * LOG_2 + log(total);
    }
    ATTENTION_FINISH(sums, y, query_start, p.queries, factor_of)
}
