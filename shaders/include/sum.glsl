// Column sums: what sum.comp and its variant are. The input is `outer` blocks of rows of `width` units; a
// block is cut into chunks of `chunk` rows, and output row (block, chunk) is the sum of the chunk's rows,
// added in order. The last row of a block may be shorter than the others: `block` is how many units a block
// has. runtime/ops/reduce.c calls this once or more often.
#define PM_WINDOW_ID 2
#include "slab.glsl"
#include "window.glsl"

// Elements of the very last unit; 0: all four. Only where there is one block.
layout(constant_id = 1) const uint LAST = 0;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    uint input_slab;   // units of the input that one slab covers; 0: it is bound whole
    uint block;        // units
    uint chunk;        // rows
    pm_divisor width;  // units
    pm_divisor chunks; // in a block
    PM_PUSH_WINDOW
} p;

PM_INPUT_UNIT(0, x)
PM_INOUT_UNIT(1, y);

PM_UNIT cut(PM_UNIT v)
{
#ifndef PM_RAGGED
    return vec4(v.x, LAST > 1 ? v.y : 0.0, LAST > 2 ? v.z : 0.0, 0.0);
#else
    return v;
#endif
}

// `sum` plus what of a chunk lies in the window. Apart from the other loop, which a test in it would slow
// down even where a specialization constant decides the test.
PM_UNIT window_sum(PM_UNIT sum, uint origin, uint place, uint end, uint whole)
{
    for (; place < min(end, whole); place += p.width.n) {
        if (PM_IN_WINDOW(origin + place)) sum += x(origin + place - p.window_begin);
    }
    if (LAST > 0 && place == whole && place < end && PM_IN_WINDOW(origin + place)) {
        sum += cut(x(origin + place - p.window_begin));
    }
    return sum;
}

void main()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE;
    uint units = p.block, chunk = p.chunk, before = p.base * p.input_slab;
    pm_divisor width = p.width, chunks = p.chunks;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(first + i, width);
        uint block = pm_quotient(row, chunks);
        uint place = (row - block * chunks.n) * chunk * width.n + (first + i - row * width.n);
        uint origin = block * units - before;
        uint end = min(place + chunk * width.n, units);
        uint whole = LAST > 0 ? units - 1 : units;
        PM_UNIT sum = PM_UNIT(0);
        if (IN_WINDOWS) {
            if (IS_LATER) sum = y[here + i];
            y[here + i] = window_sum(sum, origin, place, end, whole);
            continue;
        }
        for (; place < min(end, whole); place += width.n) sum += x(origin + place);
        if (LAST > 0 && place == whole && place < end) sum += cut(x(origin + place));
        y[here + i] = sum;
    }
    PM_ZERO_TAIL(y)
}
