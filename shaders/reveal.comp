// Writes tokens into a canvas [B,L] where it is a position's turn: one lane a position, which counts how many
// come before it. Reference: reference_reveal in runtime/ops/reveal.c.
#version 460
#include "pumice.glsl"
#include "divisor.glsl"

layout(constant_id = 1) const uint MODE = 0; // pm_reveal_mode

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    pm_divisor row_length;
    uint batch;
    uint amount_rows;
    float threshold;
    uint first_row; // of the whole canvas
} p;

PM_INPUT_UINT(0, counter)
PM_INPUT_UINT(1, keys) // from reveal_keys
PM_INPUT_UINT(2, tokens)
PM_INPUT(3, confidence)
PM_INPUT_UINT(4, amount)
PM_INOUT_UINT(5, canvas);

const uint COUNT = 0, THRESHOLD = 1, RATE = 2; // pm_reveal_mode

void main()
{
    uint here = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint i = p.base * gl_WorkGroupSize.x + here;
    if (i >= p.count) return;
    uint mine = keys(i);
    if (mine == 0) return;
    bool turn = MODE == RATE || (MODE == THRESHOLD && confidence(here) >= p.threshold);
    if (!turn) {
        uint row = pm_quotient(i, p.row_length), length = p.row_length.n, start = row * length, before = 0;
        uint most = amount(min(counter(0), p.amount_rows - 1) * p.batch + p.first_row + row);
        for (uint j = start; j < start + length && before < most; j++) {
            uint other = keys(j);
            if (other > mine || (other == mine && j < i)) before++;
        }
        turn = before < most;
    }
    if (turn) canvas[here] = tokens(here);
}
