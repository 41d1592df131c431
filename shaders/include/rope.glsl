// Rotary positions: each lane turns four pairs of channels of a head at a time. Reference: reference_rope in
// runtime/ops/rope.c.
#include "rows.glsl"
#include "slab.glsl"

layout(constant_id = 1) const bool NEIGHBOURS = false; // pairs are 2i and 2i+1, not i and i + D/2
layout(constant_id = 2) const bool HAS_FIRST = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    pm_divisor row_units; // units, of four pairs, of a row
    pm_divisor head_units;
    pm_divisor sample_rows;
    uint channels;
    uint head_width;
    uint positions; // of the table
    float sign;
} p;

layout(constant_id = 3) const bool TWO = false; // tensors, as queries and keys; the workgroup's z is which

PM_ROWS(0, x)
PM_ROWS(1, table)
PM_INPUT_UINT(2, first)
PM_ROWS_OUT(3, y);
PM_ROWS(4, other_x)
PM_ROWS_OUT(5, other_y);

#define ROPE_TURN(turn, from, to)                                                                              \
    void turn(uint start, uint quad, uint position)                                                            \
    {                                                                                                          \
        uint half_width = p.head_width / 2, row = position * p.head_width;                                     \
        vec4 cosine = table(row, quad, half_width), sine = table(row + half_width, quad, half_width) * p.sign; \
        if (NEIGHBOURS) {                                                                                      \
            vec4 low = from(start, 2 * quad, p.head_width), high = from(start, 2 * quad + 1, p.head_width);    \
            vec4 a = vec4(low.xz, high.xz), b = vec4(low.yw, high.yw);                                         \
            vec4 ya = PM_MAD(a, cosine, -(b * sine)), yb = PM_MAD(a, sine, b * cosine);                        \
            PM_ROWS_STORE(to, start, 2 * quad, p.head_width, vec4(ya.x, yb.x, ya.y, yb.y));                    \
            PM_ROWS_STORE(to, start, 2 * quad + 1, p.head_width, vec4(ya.z, yb.z, ya.w, yb.w));                \
        } else {                                                                                               \
            vec4 a = from(start, quad, half_width), b = from(start + half_width, quad, half_width);            \
            PM_ROWS_STORE(to, start, quad, half_width, PM_MAD(a, cosine, -(b * sine)));                        \
            PM_ROWS_STORE(to, start + half_width, quad, half_width, PM_MAD(a, sine, b * cosine));              \
        }                                                                                                      \
    }
ROPE_TURN(turn, x, y)
ROPE_TURN(turn_other, other_x, other_y)

// Zeros to the next multiple of four elements, as PM_ZERO_TAIL writes them; here a unit is no element.
void zero_tail()
{
#ifdef PM_RAGGED
    if (gl_WorkGroupID.x != 0 || p.units - PM_SLAB_FIRST > p.slab || gl_LocalInvocationID.x != 0) return;
    uint rows = pm_quotient(p.units, p.row_units), before = p.base * pm_quotient(p.slab, p.row_units);
    uint tail = (~(rows * p.channels) + 1) & 3;
    for (uint i = 0; i < tail; i++) {
        if (TWO && gl_WorkGroupID.z == 1) {
            other_y[(rows - before) * p.channels + i] = 0.0;
        } else {
            y[(rows - before) * p.channels + i] = 0.0;
        }
    }
#endif
}

void main()
{
    uint here = PM_SLAB_HERE, base = PM_SLAB_FIRST - here, last = p.positions - 1;
    uint begin = HAS_FIRST ? min(first(0), last) : 0; // so that the sum below cannot wrap around
    pm_divisor row_units = p.row_units, head_units = p.head_units, sample_rows = p.sample_rows;
    uint base_row = pm_quotient(base, row_units);
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(here + i, row_units), unit = here + i - row * row_units.n;
        uint head = pm_quotient(unit, head_units), whole = base_row + row;
        uint position = min(begin + whole - pm_quotient(whole, sample_rows) * sample_rows.n, last);
        uint start = row * p.channels + head * p.head_width, quad = unit - head * head_units.n;
        if (TWO && gl_WorkGroupID.z == 1) {
            turn_other(start, quad, position);
        } else {
            turn(start, quad, position);
        }
    }
    zero_tail();
}
