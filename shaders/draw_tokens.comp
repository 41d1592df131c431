// A token of each row of logits: penalty, cuts, draw, confidence. Reference: reference_draw_tokens in
// runtime/ops/draw_tokens.c, which explains the numbers.
//
// A row is one lane's work (ROW_LANES = 1: CPU drivers, short rows) or a whole workgroup's. All sums are of
// integers, so both give the same bits.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"
#include "philox.glsl"
#include "wide.glsl"

layout(constant_id = 1) const uint ROW_LANES = 1; // or the size of the workgroup
layout(constant_id = 2) const bool SEEN = false;
layout(constant_id = 3) const bool GREEDY = false;
layout(constant_id = 4) const bool TOP_K = false;
layout(constant_id = 5) const bool TOP_P = false;
layout(constant_id = 6) const uint CONFIDENCE = 0; // pm_confidence
layout(constant_id = 7) const bool SEEN_BY_ROW = false; // `seen` has a row for each, bound from the piece on

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint width;
    uint stream;
    pm_divisor rows_per_sample;
    float inverse_temperature;
    uint top_k;
    uint top_p; // times 2^32
    float min_p;
    float repetition;
    float inverse_repetition;
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT(1, logits)
PM_INPUT_UINT(2, seen)
PM_OUTPUT_UINT(3, token);
PM_OUTPUT(4, confidence);

const uint DRAWN = 0, MAX = 1, MARGIN = 2, ENTROPY = 3, RANDOM = 4; // pm_confidence
const uint NONE = 0xffffffffu;
const uint CANDIDATES = 7; // thresholds tried at once: three bits of the result a sweep
const float LOWEST = -3e38;

shared uvec2 box[CANDIDATES * ROW_LANES];

uint lane;       // among those of the row
uint row_start;  // of this row in the binding
uint seen_start; // of its sample
float top;       // the highest logit

// ---- What the lanes of a row do together

// The sum over all lanes, and over those before this one.
uvec2 sum_lanes(uvec2 mine, out uvec2 before)
{
    before = uvec2(0);
    if (ROW_LANES == 1) return mine;
    uvec2 sum = uvec2(0);
    box[lane] = mine;
    barrier();
    for (uint i = 0; i < ROW_LANES; i++) {
        if (i == lane) before = sum;
        sum = pm_wide_add(sum, box[i]);
    }
    barrier();
    return sum;
}

// Each of the sums over all lanes.
void sum_candidates(inout uvec2 sums[CANDIDATES])
{
    if (ROW_LANES == 1) return;
    for (uint c = 0; c < CANDIDATES; c++) box[c * ROW_LANES + lane] = sums[c];
    barrier();
    for (uint half_lanes = ROW_LANES / 2; half_lanes > 0; half_lanes /= 2) {
        if (lane < half_lanes) {
            for (uint c = 0; c < CANDIDATES; c++) {
                uint i = c * ROW_LANES + lane;
                box[i] = pm_wide_add(box[i], box[i + half_lanes]);
            }
        }
        barrier();
    }
    for (uint c = 0; c < CANDIDATES; c++) sums[c] = box[c * ROW_LANES];
    barrier();
}

// The least of all lanes.
uint least_of_lanes(uint mine)
{
    if (ROW_LANES == 1) return mine;
    box[lane].x = mine;
    barrier();
    for (uint i = 0; i < ROW_LANES; i++) mine = min(mine, box[i].x);
    barrier();
    return mine;
}

// The two highest of all lanes.
vec2 highest_of_lanes(vec2 mine)
{
    if (ROW_LANES == 1) return mine;
    box[lane] = floatBitsToUint(mine);
    barrier();
    vec2 highest = vec2(LOWEST);
    for (uint i = 0; i < ROW_LANES; i++) {
        vec2 other = uintBitsToFloat(box[i]);
        highest = vec2(max(highest.x, other.x), max(min(highest.x, other.x), max(highest.y, other.y)));
    }
    barrier();
    return highest;
}

// ---- A row

// After the penalty; never -0, so that equal logits are equal integers.
float logit(uint i)
{
    float l = logits(row_start + i);
    if (SEEN) {
        bool penalty = seen(seen_start + i) != 0;
        l = penalty ? l * (l > 0.0 ? p.inverse_repetition : p.repetition) : l;
    }
    return pm_flush(l);
}

float exponent(float l)
{
    return (l - top) * p.inverse_temperature;
}

uvec2 weight(float l)
{
    return pm_wide_of(pm_exp(exponent(l)));
}

// The greatest t such that the tokens of key >= t number at least `need`, or (MASS) weigh so much: three bits at
// a time from the top.
#define SEARCH(name, MASS)                                                                      \
    uint name(uvec2 need)                                                                       \
    {                                                                                           \
        uint found = 0;                                                                         \
        for (int shift = 30; shift >= 0; shift -= 3) {                                          \
            uvec2 sums[CANDIDATES];                                                             \
            [[unroll]] for (uint c = 0; c < CANDIDATES; c++) sums[c] = uvec2(0);                \
            for (uint i = lane; i < p.width; i += ROW_LANES) {                                  \
                float l = logit(i);                                                             \
                uint key = pm_ordered(l);                                                       \
                uvec2 w = MASS ? weight(l) : uvec2(1, 0);                                       \
                [[unroll]] for (uint c = 0; c < CANDIDATES; c++) {                              \
                    bool above = key >= (found | ((c + 1) << shift));                           \
                    sums[c] = pm_wide_add(sums[c], above ? w : uvec2(0));                       \
                }                                                                               \
            }                                                                                   \
            sum_candidates(sums);                                                               \
            uint digit = 0;                                                                     \
            [[unroll]] for (uint c = 0; c < CANDIDATES; c++) {                                  \
                bool fits = shift < 30 || c < 3; /* the first digit has two bits */             \
                if (fits && !pm_wide_less(sums[c], need)) digit = c + 1;                        \
            }                                                                                   \
            found |= digit << shift;                                                            \
        }                                                                                       \
        return found;                                                                           \
    }
SEARCH(search_count, false)
SEARCH(search_mass, true)

// Weight of a token, 0 where it was cut.
uvec2 kept_weight(float l, uint threshold)
{
    float e = pm_exp(exponent(l));
    return pm_ordered(l) >= threshold && e >= p.min_p ? pm_wide_of(e) : uvec2(0);
}

float sureness(uint kind, uint drawn, float second, uint threshold, uvec2 total, uvec2 heat, uint bits)
{
    if (kind == RANDOM) return pm_uniform01(bits);
    if (total == uvec2(0)) return 0.0;
    float sum = pm_wide_float(total), share = 1.0;
    if (kind == ENTROPY) return -(pm_log(sum) + pm_div(pm_wide_float(heat), sum));
    if (kind == DRAWN) share = pm_exp(exponent(logit(drawn)));
    if (kind == MARGIN) {
        float e = pm_exp(exponent(second));
        share = 1.0 - (pm_ordered(second) >= threshold && e >= p.min_p ? e : 0.0);
    }
    return pm_div(share, sum);
}

uint random_bits(uint sample_index, uint element, uint first_block)
{
    uvec4 place = uvec4(first_block + (element >> 2), counter(0), counter(1) + sample_index, p.stream);
    uvec4 drawn = pm_philox(place, uvec2(counter(2), counter(3)));
    uint part = element & 3;
    return part < 2 ? (part == 0 ? drawn.x : drawn.y) : (part == 2 ? drawn.z : drawn.w);
}

void main()
{
    bool alone = ROW_LANES == 1;
    uint rows_of_group = alone ? gl_WorkGroupSize.x : 1;
    uint here = gl_WorkGroupID.x * rows_of_group + (alone ? gl_LocalInvocationID.x : 0);
    uint row = p.base * rows_of_group + here;
    if (row >= p.rows) return; // of a whole workgroup, where lanes wait for each other
    uint sample_index = pm_quotient(row, p.rows_per_sample);
    uint element = row - sample_index * p.rows_per_sample.n;
    lane = alone ? 0 : gl_LocalInvocationID.x;
    row_start = here * p.width;
    seen_start = SEEN_BY_ROW ? row_start : sample_index * p.width;

    vec2 highest = vec2(LOWEST);
    for (uint i = lane; i < p.width; i += ROW_LANES) {
        float l = logit(i);
        highest = vec2(max(highest.x, l), max(highest.y, min(highest.x, l)));
    }
    highest = highest_of_lanes(highest);
    top = highest.x;

    uint threshold = 0;
    uvec2 before;
    if (TOP_K) threshold = search_count(uvec2(p.top_k, 0));
    if (TOP_P) {
        uvec2 mass = uvec2(0);
        for (uint i = lane; i < p.width; i += ROW_LANES) {
            float l = logit(i);
            if (pm_ordered(l) >= threshold) mass = pm_wide_add(mass, weight(l));
        }
        uvec2 need = pm_wide_scale(sum_lanes(mass, before), p.top_p, true);
        threshold = search_mass(need); // not below what k left, which has this mass
    }

    // Now each lane has neighbouring tokens, since the draw goes through them in order.
    uint length = alone ? p.width : (p.width + ROW_LANES - 1) / ROW_LANES;
    uint begin = min(lane * length, p.width), end = min(begin + length, p.width);
    uvec2 mine = uvec2(0), heat = uvec2(0), unused;
    for (uint i = begin; i < end; i++) {
        float l = logit(i);
        uvec2 w = kept_weight(l, threshold);
        mine = pm_wide_add(mine, w);
        if (CONFIDENCE == ENTROPY && w != uvec2(0)) {
            float x = exponent(l);
            heat = pm_wide_add(heat, pm_wide_of(-x * pm_exp(x)));
        }
    }
    uvec2 total = sum_lanes(mine, before);
    if (CONFIDENCE == ENTROPY) heat = sum_lanes(heat, unused);

    uint found = NONE, key_of_top = pm_ordered(top);
    uvec2 target = pm_wide_scale(total, random_bits(sample_index, element, 0), false), running = before;
    bool within = !pm_wide_less(target, before) && pm_wide_less(target, pm_wide_add(before, mine));
    if (GREEDY || within) {
        for (uint i = begin; i < end && found == NONE; i++) {
            float l = logit(i);
            if (GREEDY) {
                if (pm_ordered(l) == key_of_top) found = i;
            } else {
                running = pm_wide_add(running, kept_weight(l, threshold));
                if (pm_wide_less(target, running)) found = i;
            }
        }
    }
    found = least_of_lanes(found);
    if (found == NONE) found = 0; // no logit is finite

    if (lane == 0) {
        uint bits = CONFIDENCE == RANDOM ? random_bits(sample_index, element, 0x40000000u) : 0;
        token[here] = found;
        confidence[here] = sureness(CONFIDENCE, found, highest.y, threshold, total, heat, bits);
    }
}
