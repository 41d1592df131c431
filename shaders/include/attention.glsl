// softmax(Q K^T scale) V, and the log-sum-exp of each row of scores: online softmax (2205.14135, algorithm 1)
// with a lane for a few queries. Reference: reference_attention in runtime/ops/attention.c.
#include "attention_tile.glsl"

PM_ROWS(0, q)
PM_ROWS(1, k)
PM_ROWS(2, v)
PM_ROWS_INOUT(3, y)
PM_OUTPUT(4, log_sums); // [sample, head, query]

const float HIDDEN = -1e30; // the score of a key that a query does not see; far below any other

void main()
{
    if (!attention_begin()) return;
    float score[TILE][BLOCK], top[TILE], total[TILE], before[TILE], after[TILE];
    [[unroll]] for (uint t = 0; t < TILE; t++) {
        top[t] = HIDDEN;
        total[t] = 0.0;
    }
    uint end = keys_end();
    for (uint first = 0; first < end; first += BLOCK) {
        ATTENTION_PRODUCTS(score, q, p.queries, k, first, p.keys)
        [[unroll]] for (uint t = 0; t < TILE; t++) {
            float highest = top[t], sum = 0.0;
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[t][j] = sees(first_row + t, first + j) ? score[t][j] * p.scale : HIDDEN;
                highest = max(highest, score[t][j]);
            }
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[t][j] = pm_flush(pm_exp(score[t][j] - highest));
                sum = sum + score[t][j];
            }
            before[t] = pm_flush(pm_exp(top[t] - highest));
            total[t] = PM_MAD(total[t], before[t], sum);
            top[t] = highest;
            after[t] = first + BLOCK < end ? 1.0 : pm_rcp(total[t]);
        }
        ATTENTION_ADD(y, p.queries, first == 0, before, score, v, first, p.keys, after)
    }
    [[unroll]] for (uint t = 0; t < TILE; t++) {
        if (first_row + t < p.queries) log_sums[row_at(first_row + t, p.queries)] = top[t] + pm_log(total[t]);
    }
}
