/* Long sums, to one number, in an order that the length alone decides: chunks of fixed size are summed by 64
 * lanes into 64 partial sums each (shaders/include/chunk_sum.glsl has the same numbers), and one workgroup
 * adds the partial sums up in a fixed tree of 256 leaves (shaders/include/tree_sum.glsl), with as many lanes
 * as the device allows. */
#ifndef PM_OPS_CHUNK_SUM_H
#define PM_OPS_CHUNK_SUM_H

#include "base/checked.h"
#include "ops/op.h"

#define PM_CHUNK_LANES 64u
#define PM_CHUNK_TURNS 32u
#define PM_CHUNK_ELEMENTS (PM_CHUNK_LANES * PM_CHUNK_TURNS * 4u)
#define PM_TREE_LEAVES 256u

/* Workgroups, of PM_CHUNK_LANES each, that sum `elements`; and the partial sums that they leave. */
static inline uint32_t pm_chunks(uint32_t elements)
{
    return pm_ceil_div(elements, PM_CHUNK_ELEMENTS);
}

static inline uint32_t pm_chunk_partials(uint32_t elements)
{
    return pm_chunks(elements) * PM_CHUNK_LANES;
}

#endif
