// dV = P^T dO and dK = dS^T Q scale; see attention_dq.comp. A lane has a few keys and goes through the
// queries that see any of them.
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
    // The first query that sees key first_row is first_row + queries - keys; blocks begin at multiples of
    // BLOCK.
    uint unseen = CAUSAL && first_row + p.queries > p.keys ? first_row + p.queries - p.keys : 0;
    uint begin = unseen / BLOCK * BLOCK;
    for (uint first = begin; first < p.queries; first += BLOCK) {
        ATTENTION_PRODUCTS(weight, k, p.keys, q, first, p.queries)
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            float log_sum = log_sums(row_at(first + j, p.queries));
            [[unroll]] for (uint t = 0; t < TILE; t++) {
                weight[t][j] = probability(first + j, first_row + t, weight[t][j], log_sum);
            }
        }
        ATTENTION_ADD(dv, p.keys, first == begin, one, weight, dy, first, p.queries, one)
        ATTENTION_PRODUCTS(product, v, p.keys, dy, first, p.queries)
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            float delta = deltas(row_at(first + j, p.queries));
            [[unroll]] for (uint t = 0; t < TILE; t++) {
                weight[t][j] = weight[t][j] * (product[t][j] - delta) * p.scale;
            }
        }
        ATTENTION_ADD(dk, p.keys, first == begin, one, weight, q, first, p.queries, one)
    }
}
