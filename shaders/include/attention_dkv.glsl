// dV = P^T dO and dK = dS^T Q scale; see attention_dq.comp. A lane has a few keys and goes through the
// queries that see any of them, those of one head after another where heads share the keys.
#include "attention_tile.glsl"

PM_ROWS(0, q)
PM_ROWS(1, k)
PM_ROWS(2, v)
PM_ROWS(3, dy)
PM_INPUT(4, log_sums)
PM_INPUT(5, deltas)
PM_ROWS_INOUT(6, dk)
PM_ROWS_INOUT(7, dv)

void main()
{
    if (!attention_begin()) return;
    float product[TILE][BLOCK], weight[TILE][BLOCK], one[TILE];
    [[unroll]] for (uint t = 0; t < TILE; t++) one[t] = 1.0;
    uint begin = first_query(first_row) / BLOCK * BLOCK; // a multiple of BLOCK whatever TILE is
    uint first_head = head;
    for (; head < first_head + GROUP; head++) {
        for (uint first = begin; first < p.queries; first += BLOCK) {
            bool is_first = first == begin && head == first_head;
            ATTENTION_PRODUCTS(weight, k, key_start, q, query_start, first)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                float log_sum = log_sums(query_at(first + j));
                uint seen = keys_seen(first + j);
                [[unroll]] for (uint t = 0; t < TILE; t++) {
                    weight[t][j] = probability(first_row + t < seen, weight[t][j], log_sum);
                }
            }
            ATTENTION_ADD(dv, key_start, p.keys, is_first, one, weight, dy, query_start, first, one)
            ATTENTION_PRODUCTS(product, v, key_start, dy, query_start, first)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                float delta = deltas(query_at(first + j));
                [[unroll]] for (uint t = 0; t < TILE; t++) {
                    weight[t][j] = weight[t][j] * (product[t][j] - delta) * p.scale;
                }
            }
            ATTENTION_ADD(dk, key_start, p.keys, is_first, one, weight, q, query_start, first, one)
        }
    }
}
