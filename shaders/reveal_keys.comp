// Of each position of a canvas [B,L] an integer: 0 where nothing can be revealed; else how soon it is its turn,
// the greatest first, or (RATE) 1 where chance says so. Reference: reference_reveal in runtime/ops/reveal.c.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"
#include "philox.glsl"
#include "wide.glsl"

layout(constant_id = 1) const bool RATE = false;
layout(constant_id = 2) const bool RACE = false;
layout(constant_id = 3) const bool WINDOW = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    pm_divisor row_length;
    uint batch;
    uint mask_token;
    uint stream;
    uint window_rows;
    uint amount_rows;
    float inverse_temperature; // RACE
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT_UINT(1, canvas)
PM_INPUT(2, confidence)
PM_INPUT_UINT(3, window)
PM_INPUT(4, amount)
PM_OUTPUT_UINT(5, key);

void main()
{
    uint here = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint i = p.base * gl_WorkGroupSize.x + here;
    if (i >= p.count) return;
    uint row = pm_quotient(i, p.row_length), position = i - row * p.row_length.n;
    bool open = canvas(here) == p.mask_token;
    if (WINDOW) {
        uint window_row = min(counter(0), p.window_rows - 1);
        open = open && position >= window(2 * window_row) && position < window(2 * window_row + 1);
    }
    uint bits = 0;
    if (RATE || RACE) {
        uvec4 place = uvec4(position >> 2, counter(0), counter(1) + row, p.stream);
        uvec4 drawn = pm_philox(place, uvec2(counter(2), counter(3)));
        uint part = position & 3;
        bits = part < 2 ? (part == 0 ? drawn.x : drawn.y) : (part == 2 ? drawn.z : drawn.w);
    }
    uint value;
    if (RATE) {
        float rate = amount(min(counter(0), p.amount_rows - 1) * p.batch + row);
        value = pm_happens(bits, rate) ? 1 : 0;
    } else {
        float score = confidence(here);
        if (RACE) score = score * p.inverse_temperature - pm_log(pm_exponential(bits));
        value = pm_ordered(pm_flush(score));
    }
    key[here] = open ? value : 0;
}
