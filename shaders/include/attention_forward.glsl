// What the kernels of attention's forward pass read and write, and where their queries lie.
#include "attention_tile.glsl"

PM_ROWS(0, q)
PM_ROWS(1, k)
PM_ROWS(2, v)
PM_ROWS_INOUT(3, y)
PM_OUTPUT(4, log_sums); // [sample, head, query]
PM_INPUT_UINT(5, first_position)

layout(constant_id = 6) const bool HAS_FIRST = false; // the position of query 0 is known only now

void place_queries()
{
    if (HAS_FIRST) origin = min(first_position(0), p.keys);
}
