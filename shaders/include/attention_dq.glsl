// dQ = dS K scale with dS = P (dO V^T - delta), delta = the inner product of dO and O of a query, which is
// kept for attention_dkv; P is recomputed (2205.14135, algorithm 4). A lane has a few queries. Reference:
// pm_attention_backward_reference in runtime/ops/attention_reference.c.
#include "attention_tile.glsl"

PM_ROWS(0, q)
PM_ROWS(1, k)
PM_ROWS(2, v)
PM_ROWS(3, y)
PM_ROWS(4, dy)
PM_INPUT(5, log_sums)
PM_ROWS_INOUT(6, dq)
PM_OUTPUT(7, deltas); // [sample, head, query]
PM_OUTPUT4(8, chances);
PM_OUTPUT4(9, dscores);

void main()
{
    if (!attention_begin()) return;
    uint seen[TILE];
    float product[TILE][BLOCK], weight[TILE][BLOCK], log_sum[TILE], delta[TILE], one[TILE];
    vec4 sum[TILE];
    [[unroll]] for (uint t = 0; t < TILE; t++) sum[t] = vec4(0.0);
    for (uint quad = 0; 4 * quad < p.head_width; quad++) { // outside: with a loop inside, some do not unroll
        [[unroll]] for (uint t = 0; t < TILE; t++) {
            uint start = query_start(first_row + t);
            sum[t] = PM_MAD(y(start, quad, p.head_width), dy(start, quad, p.head_width), sum[t]);
        }
    }
    [[unroll]] for (uint t = 0; t < TILE; t++) {
        delta[t] = row_total(sum[t]);
        log_sum[t] = log_sums(query_at(first_row + t));
        one[t] = 1.0;
        seen[t] = keys_seen(first_row + t);
        if (WEIGHT_ROWS == 0 && first_row + t < p.queries) deltas[query_at(first_row + t)] = delta[t];
    }
    uint end = keys_end(), end_of_all = keys_end_of_all();
    for (uint first = 0; first < end_of_all; first += BLOCK) {
        ATTENTION_PRODUCTS(weight, q, query_start, k, key_start, first)
        ATTENTION_PRODUCTS(product, dy, query_start, v, key_start, first)
        [[unroll]] for (uint t = 0; t < TILE; t++) {
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                float chance = probability(first + j < seen[t], weight[t][j], log_sum[t]);
                weight[t][j] = chance * (product[t][j] - delta[t]) * p.scale;
                product[t][j] = chance;
            }
        }
        if (WEIGHT_ROWS == 0) {
            ATTENTION_ADD(dq, query_start, p.queries, first == 0, one, weight, k, key_start, first, one)
        } else if (writes_weights(first, end)) {
            ATTENTION_STORE(chances, product, first)
            ATTENTION_STORE(dscores, weight, first)
        }
    }
}
