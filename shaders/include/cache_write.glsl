// Rows [sample, T, C] to positions first .. first + T - 1 of a cache [sample, Tmax, C]. Reference:
// reference_cache_write in runtime/ops/cache.c.
#include "divisor.glsl"
#include "rows.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint units; // groups of four of the rows of a sample
    uint group_units;
    uint rows;
    uint positions;
    uint channels;
    pm_divisor row_units;
} p;

layout(constant_id = 1) const bool TWO = false; // pairs of rows and cache, as keys and values; y is which

PM_ROWS(0, from)
PM_INPUT_UINT(1, first)
PM_ROWS_INOUT(2, cache)
PM_ROWS(3, other_from)
PM_ROWS_INOUT(4, other_cache)

void main()
{
    bool other = TWO && gl_WorkGroupID.y == 1;
    uint sample_index = gl_WorkGroupID.z; // both bindings begin at the piece
    uint begin = min(first(0), p.positions);  // so that the sum below cannot wrap around
    uint end = min(p.units, (gl_WorkGroupID.x + 1) * p.group_units);
    pm_divisor row_units = p.row_units;
    for (uint i = gl_WorkGroupID.x * p.group_units + gl_LocalInvocationID.x; i < end; i += gl_WorkGroupSize.x) {
        uint row = pm_quotient(i, row_units), quad = i - row * row_units.n;
        if (begin + row >= p.positions) break;
        uint to = (sample_index * p.positions + begin + row) * p.channels;
        uint at = (sample_index * p.rows + row) * p.channels;
        if (other) {
            PM_ROWS_STORE(other_cache, to, quad, p.channels, other_from(at, quad, p.channels));
        } else {
            PM_ROWS_STORE(cache, to, quad, p.channels, from(at, quad, p.channels));
        }
    }
}
