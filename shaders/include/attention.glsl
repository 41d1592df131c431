// softmax(Q K^T scale) V, and the log-sum-exp of each row of scores: online softmax (2205.14135, algorithm 1)
// with a lane for a few queries. Reference: pm_attention_reference in runtime/ops/attention_reference.c.
#include "attention_forward.glsl"

PM_OUTPUT4(6, weights);
PM_OUTPUT(7, factors); // [sample, head, query, block]: what a block's sums are multiplied by first; of block 0, last

uint factor_at(uint query)
{
    return weights_start(query) / (BLOCK / 4);
}

void main()
{
    if (!attention_begin()) return;
    place_queries();
    uint seen[TILE];
    float score[TILE][BLOCK], top[TILE], total[TILE], before[TILE], after[TILE];
    [[unroll]] for (uint t = 0; t < TILE; t++) {
        seen[t] = keys_seen(first_row + t);
        top[t] = HIDDEN;
        total[t] = 0.0;
    }
    uint end = keys_end(), end_of_all = keys_end_of_all();
    keys_there = min(end_of_all, p.keys); // a cache may hold anything beyond, infinities too
    for (uint first = 0; first < end_of_all; first += BLOCK) {
        ATTENTION_PRODUCTS(score, q, query_start, k, key_start, first)
        [[unroll]] for (uint t = 0; t < TILE; t++) {
            float highest = top[t], sum = 0.0;
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[t][j] = score_of(first + j < seen[t], score[t][j]);
                highest = max(highest, score[t][j]);
            }
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[t][j] = weight_of(score[t][j], highest);
                sum = sum + score[t][j];
            }
            before[t] = weight_of(top[t], highest);
            total[t] = PM_MAD(total[t], before[t], sum);
            top[t] = highest;
            after[t] = PM_SELECT(first + BLOCK < end, 1.0, pm_rcp(total[t]));
        }
        if (WEIGHT_ROWS == 0) {
            ATTENTION_ADD(y, query_start, p.queries, first == 0, before, score, v, key_start, first, after)
        } else if (writes_weights(first, end)) {
            ATTENTION_STORE(weights, score, first)
            [[unroll]] for (uint t = 0; t < TILE; t++) {
                bool is_last = first + BLOCK >= end;
                if (first != 0) factors[factor_at(first_row + t) + first / BLOCK] = before[t];
                if (is_last) factors[factor_at(first_row + t)] = after[t];
            }
        }
    }
    [[unroll]] for (uint t = 0; t < TILE; t++) {
        if (first_row + t < p.queries) log_sums[query_at(first_row + t)] = top[t] + pm_log(total[t]);
    }
}
