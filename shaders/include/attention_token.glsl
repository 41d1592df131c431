// The same as attention.glsl for a query or a few, as of text that is generated: a workgroup for each. Its lanes have
// keys of a block, of which each finds the scores of its own, and then channels, of which each adds up its own; in
// between, all of them see all scores and weights. In the order of attention.glsl, with its bits.
#include "attention_forward.glsl"

const uint LANES = gl_WorkGroupSize.x, KEYS = BLOCK / LANES; // of a lane: its number, and every LANES-th after it

// of_all[j] = what the lane with key j of the block has for it.
#ifdef PM_LANES
#define TOKEN_SHARE(of_all, mine, place) \
    [[unroll]] for (uint j = 0; j < BLOCK; j++) of_all[j] = pm_show(mine[j / LANES], j % LANES);
#else
shared float places[2][BLOCK]; // by turns, so that one barrier each is enough
#define TOKEN_SHARE(of_all, mine, place)                                                                       \
    [[unroll]] for (uint i = 0; i < KEYS; i++) places[place][i * LANES + gl_LocalInvocationID.x] = mine[i];    \
    barrier();                                                                                                 \
    [[unroll]] for (uint j = 0; j < BLOCK; j++) of_all[j] = places[place][j];
#endif

void main()
{
    uint lane = gl_LocalInvocationID.x;
    attention_begin_at(gl_WorkGroupID.x);
    place_queries();
    uint seen = keys_seen(first_row);
    keys_there = seen;
    float mine[KEYS], of_all[BLOCK], top = HIDDEN, total = 0.0;
    for (uint first = 0; first < seen; first += BLOCK) {
        uint key_at[KEYS];
        [[unroll]] for (uint i = 0; i < KEYS; i++) {
            key_at[i] = key_start(first + i * LANES + lane);
            mine[i] = 0.0;
        }
        for (uint quad = 0; 4 * quad < p.head_width; quad++) {
            vec4 a = q(query_start(first_row), quad, p.head_width);
            [[unroll]] for (uint i = 0; i < KEYS; i++) {
                mine[i] = add_products(a, k(key_at[i], quad, p.head_width), mine[i]);
            }
        }
        [[unroll]] for (uint i = 0; i < KEYS; i++) {
            mine[i] = score_of(first + i * LANES + lane < seen, mine[i]);
        }
        TOKEN_SHARE(of_all, mine, 0)
        float highest = top, sum = 0.0;
        [[unroll]] for (uint j = 0; j < BLOCK; j++) highest = max(highest, of_all[j]);
        [[unroll]] for (uint i = 0; i < KEYS; i++) mine[i] = weight_of(mine[i], highest);
        TOKEN_SHARE(of_all, mine, 1)
        [[unroll]] for (uint j = 0; j < BLOCK; j++) sum = sum + of_all[j];
        float before = weight_of(top, highest);
        total = PM_MAD(total, before, sum);
        top = highest;
        float after = PM_SELECT(first + BLOCK < seen, 1.0, pm_rcp(total));
        for (uint quad = lane; 4 * quad < p.head_width; quad += LANES) {
            vec4 theirs[AHEAD], sums = vec4(0.0);
            if (first != 0) sums = y_load(query_start(first_row), quad, p.head_width) * before;
            [[unroll]] for (uint j = 0; j < BLOCK; j += AHEAD) {
                [[unroll]] for (uint n = 0; n < AHEAD; n++) {
                    theirs[n] = v(key_start(first + j + n), quad, p.head_width);
                }
                [[unroll]] for (uint n = 0; n < AHEAD; n++) {
                    sums = PM_MAD(vec4(of_all[j + n]), theirs[n], sums);
                }
            }
            PM_ROWS_STORE(y, query_start(first_row), quad, p.head_width, sums * after);
        }
    }
    if (lane == 0) log_sums[query_at(first_row)] = top + pm_log(total);
}
