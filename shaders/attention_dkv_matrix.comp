// dV = P^T dO and dK = dS^T Q scale by matrix units; see attention_dq_matrix.comp. A workgroup has a block of keys and
// goes through the queries that see any of them, of all heads that share the keys. Where registers do not suffice for
// both results, there is a dispatch for each.
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

layout(constant_id = 13) const bool WANTS_K = true;
layout(constant_id = 14) const bool WANTS_V = true;

// Of the queries of this step, four by four.
shared vec4 their_log_sums[SCORE_QUADS], their_deltas[SCORE_QUADS];

const float NOBODY = 1e30; // of queries past the end: whatever they score, they see nothing

float factor_of(uint row) { return p.scale; }
float one(uint row) { return 1.0; }

void bring_numbers(uint first)
{
    for (uint i = gl_LocalInvocationID.x; i < THEIRS; i += LANES) {
        uint at = query_at(first + i);
        their_log_sums[i / 4][i % 4] = mix(NOBODY, log_sums(at) * LOG2_E, first + i < p.queries);
        their_deltas[i / 4][i % 4] = deltas(at);
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
    if (WANTS_K) {
        ATTENTION_MINE(1, v, key_start)
    }
    uint begin = first_query(first_row) / THEIRS * THEIRS;
    uint steps = GROUP * ((p.queries - begin + THEIRS - 1) / THEIRS); // in one loop: of two, more spills
    uint sees_first = first_query(first_row + my_row); // this lane's key, of queries
    for (uint step = 0; step < steps; step++) {
        uint first = begin + step / GROUP * THEIRS;
        head = first_head + step % GROUP;
        ATTENTION_THEIRS(q, dy, query_start, first)
        bring_numbers(first);
        barrier();
        ATTENTION_SCORES(0, 0)
        strip_barrier();
        vec4 chance[LANE_QUADS];
        [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
            uvec4 query = first + their_number(i) + uvec4(0, 1, 2, 3);
            bvec4 sees = greaterThanEqual(query, uvec4(sees_first));
            vec4 power = score(i) * (p.scale * LOG2_E) - their_log_sums[my_quad + i];
            chance[i] = mix(vec4(0.0), exp2(power), sees);
            if (WANTS_V) set_weight(i, chance[i]);
        }
        strip_barrier();
        if (WANTS_V) {
            ATTENTION_SUM(sums_v, 1)
        }
        if (WANTS_K) {
            ATTENTION_SCORES(1, 1)
            strip_barrier();
            [[unroll]] for (uint i = 0; i < LANE_QUADS; i++) {
                set_weight(i, chance[i] * (score(i) - their_deltas[my_quad + i]));
            }
            strip_barrier();
            ATTENTION_SUM(sums_k, 0)
        }
        barrier(); // before the next rows take the place of these
    }
    head = first_head;
    if (WANTS_K) {
        ATTENTION_FINISH(sums_k, dk, key_start, p.keys, factor_of)
    }
    if (WANTS_V) {
        ATTENTION_FINISH(sums_v, dv, key_start, p.keys, one)
    }
}
