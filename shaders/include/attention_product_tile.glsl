// What attention adds up where its weights W (queries x keys, of one head) lie in memory: y = W V and dQ = dS K,
// and where OVER_KEYS dV = W^T dO and dK = dS^T Q, over the heads of queries that share one of keys. The sums are
// those of ATTENTION_ADD in attention_tile.glsl, in its order, but of register tiles as those of a matrix product.
#include "pumice.glsl"
#include "tile.glsl"

layout(constant_id = 4) const bool OVER_KEYS = false;
layout(constant_id = 5) const bool RESCALES = false; // by `factors`; see attention.glsl
layout(constant_id = 6) const uint MASK = 0;         // pm_mask
layout(constant_id = 7) const uint GROUP = 1;        // heads of queries that share one of keys
layout(constant_id = 8) const uint BLOCK = 32;       // keys between two factors; of a row, as many as were written are a multiple
layout(constant_id = 11) const uint WEIGHT_ROWS = 16; // rows that go through the terms together; see attention_tile.glsl

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint queries;
    uint keys;
    uint heads; // of queries
    uint head_quads;
    uint block; // positions of a block, for PM_MASK_BLOCK
    uint weight_quads, log2_lanes;
} p;

PM_INPUT4(0, weights) // [sample, head, query, key], of whole blocks of 32 queries and keys
PM_INPUT4(1, theirs)
PM_INPUT(2, factors)
PM_OUTPUT4(3, result);

uint origin; // the position of query 0 among the keys

#include "attention_mask.glsl"

uint sample_index, head; // of queries; where OVER_KEYS, the one whose terms are added

#include "attention_rows.glsl"

// Where those of q and k begin, in vec4s.
uint query_start(uint query) { return query_row(query) * p.head_quads; }
uint key_start(uint key) { return key_row(key, p.keys) * p.head_quads; }

// Adds these terms to the sums of the rows from `row` on.
void add_terms(uint row, uint begin, uint end)
{
    uint a_at[TILE_FETCHES], b_quad[TILE_B_FETCHES];
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        uint number = tile_first() + i * TILE_STEP;
        a_at[i] = OVER_KEYS ? weight_row(sample_index, 0) * p.weight_quads + (row + number) / 4
                            : weight_row(sample_index, row + number) * p.weight_quads;
    }
    [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
        b_quad[i] = min(tile_b_quad(p.log2_lanes, i), p.head_quads - 1);
    }
    for (uint term = begin; term < end; term += 4) {
        [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
            uint their = term + tile_b_term(i);
            tile_b_fetched[i] = PM_OPERAND(theirs((OVER_KEYS ? query_start(their) : key_start(their)) + b_quad[i]));
        }
        TILE_STEPS(first) {
            [[unroll]] for (uint i = 0; i < TILE_AHEAD / TILE_STEP; i++) {
                uint across = (term + (tile_first() + i * TILE_STEP) % 4) * p.weight_quads;
                tile_fetched[i] = weights(a_at[first + i] + (OVER_KEYS ? across : term / 4));
            }
            tile_add_terms(first, TILE_AHEAD, OVER_KEYS, false);
        }
    }
}

// Multiplies the sums by the factors of a block.
void rescale(uint row, uint block)
{
    float fetched[TILE_FETCHES];
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        uint number = tile_first() + i * TILE_STEP;
        fetched[i] = factors(weight_row(sample_index, row + number) * (p.weight_quads / (BLOCK / 4)) + block);
    }
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        float factor = tile_shown(fetched[i / TILE_STEP], i);
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) tile[i][j] = tile[i][j] * factor;
    }
}

// The first of the rows that go through the terms together.
uint row_of_all(uint row)
{
#ifdef PM_LANES
    return gl_WorkGroupID.y * tile_group_rows(p.log2_lanes);
#else
    return row;
#endif
}

uint row, rows; // the first of the tile, and all

void leave(uint i, uint j)
{
    uint start = OVER_KEYS ? key_start(row + i) : query_start(row + i), quad = tile_quad(p.log2_lanes, j);
    if (row + i < rows && quad < p.head_quads) result[start + quad] = tile[i][j];
}

void main()
{
    row = tile_row(p.log2_lanes);
    rows = OVER_KEYS ? p.keys : p.queries;
    uint first_row = row_of_all(row);
    if (first_row >= rows) return;
    uint heads = OVER_KEYS ? p.heads / GROUP : p.heads, index = p.base + gl_WorkGroupID.z;
    sample_index = index / heads;
    head = index % heads * (OVER_KEYS ? GROUP : 1);
    origin = p.keys - p.queries;
    tile_clear();
    if (OVER_KEYS) {
        uint first_head = head;
        for (; head < first_head + GROUP; head++) add_terms(row, first_query(first_row) / 4 * 4, p.queries);
        head = first_head;
    } else {
        uint end = (keys_seen(min(first_row + WEIGHT_ROWS, p.queries) - 1) + BLOCK - 1) / BLOCK * BLOCK;
        if (RESCALES) {
            for (uint first = 0; first < end; first += BLOCK) {
                if (first != 0) rescale(row, first / BLOCK);
                add_terms(row, first, first + BLOCK);
            }
            rescale(row, 0);
        } else {
            add_terms(row, 0, end);
        }
    }
    TILE_LEAVE(leave)
}
