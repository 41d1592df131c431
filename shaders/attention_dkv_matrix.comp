// dV = P^T dO and dK = dS^T Q scale by matrix units; see attention_dq_matrix.comp. A workgroup has a block of keys and
// goes through the queries that see any of them, those of one head after another where heads share the keys.
#version 460
#include "pumice.glsl"
#include "attention_matrix.glsl"

PM_INPUT4(0, q)
PM_INPUT4(1, k)
PM_INPUT4(2, v)
PM_INPUT4(3, dy)
PM_INPUT(4, log_sums)
PM_INPUT(5, deltas)
PM_OUTPUT4(6, dk);
PM_OUTPUT4(7, dv);

// Of the queries of this step, four by four.
shared vec4 their_log_sums[SCORE_QUADS], their_deltas[SCORE_QUADS];
shared uvec4 their_keys[SCORE_QUADS]; // how many each sees

float factor_of(uint row) { return p.scale; }
float one(uint row) { return 1.0; }

void bring_numbers(uint first)
{
    for (uint i = gl_LocalInvocationID.x; i < THEIRS; i += LANES) {
        uint at = query_at(first + i);
        their_log_sums[i / 4][i % 4] = log_sums(at) * LOG2_E;
        their_deltas[i / 4][i % 4] = deltas(at);
        their_keys[i / 4][i % 4] = keys_seen(first + i);
    }
}

void main()
{
    attention_begin(gl_WorkGroupID.x);
    uint first_head = gl_WorkGroupID.y * GROUP;
    head = first_head;
    PM_FRAGMENT_A mine[2][HEAD_WIDTH / FRAGMENT_K];
    PM_FRAGMENT_SUMS sums_k[COLUMNS], sums_v[COLUMNS];
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums_k[j] = sums_v[j] = PM_FRAGMENT_SUMS(0.0);
    ATTENTION_MINE(0, k, key_start)
    ATTENTION_MINE(1, v, key_start)
    uint begin = first_query(first_row) / THEIRS * THEIRS;
    uint steps = (p.queries - begin + THEIRS - 1) / THEIRS; // of a head
    for (uint step = 0; step < GROUP * steps; step++) {
        uint first = begin + step % steps * THEIRS;
        head = first_head + step / steps;
        ATTENTION_THEIRS(q, dy, query_start, first)
        bring_numbers(first);
        barrier();
        ATTENTION_SCORES(0, 0)
        strip_barrier();
        vec4 chance[LANE_QUADS];
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
            bvec4 sees = lessThan(uvec4(first_row + my_row), their_keys[my_quad + i]);
            vec4 power = score(i) * (p.scale * LOG2_E) - their_log_sums[my_quad + i];
            chance[i] = mix(vec4(0.0), exp2(power), sees);
            set_weight(i, chance[i]);
        }
        strip_barrier();
        ATTENTION_SUM(sums_v, 1)
        ATTENTION_SCORES(1, 1)
        strip_barrier();
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
            set_weight(i, chance[i] * (score(i) - their_deltas[my_quad + i]));
        }
        strip_barrier();
        ATTENTION_SUM(sums_k, 0)
        barrier(); // before the next rows take the place of these
    }
    head = first_head;
    ATTENTION_FINISH(sums_k, dk, key_start, p.keys, factor_of)
    ATTENTION_FINISH(sums_v, dv, key_start, p.keys, one)
}
