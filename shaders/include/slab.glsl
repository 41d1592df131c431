// Rows of units shared out among workgroups; runtime/ops/slab.h says how, and pushes PM_PUSH_SLAB.
#ifndef PUMICE_SLAB_GLSL
#define PUMICE_SLAB_GLSL

#include "divisor.glsl"
#include "unit.glsl"

#define PM_PUSH_SLAB                        \
    uint units;   /* in the whole output */ \
    uint slab;    /* units of a slab */     \
    uint units_x; /* of a workgroup */

// The first unit of this slab: in the whole output, and in a binding that is sliced.
#define PM_SLAB_FIRST ((p.base + gl_WorkGroupID.y) * p.slab)
#define PM_SLAB_HERE (gl_WorkGroupID.y * p.slab)

// For each unit i of this workgroup, counted from the beginning of its slab, which has `count` units.
#define PM_EACH_UNIT_OF(i, count)                                        \
    for (uint i = gl_WorkGroupID.x * p.units_x + gl_LocalInvocationID.x, \
              end_##i = min((gl_WorkGroupID.x + 1) * p.units_x, count);  \
         i < end_##i; i += gl_WorkGroupSize.x)
#define PM_EACH_UNIT(i) PM_EACH_UNIT_OF(i, min(p.slab, p.units - PM_SLAB_FIRST))

// Zeros from the end of the output to the next multiple of four elements: flat passes read that far. All
// writers of single floats end with it. Exactly one workgroup, the last, finds the end in its slab.
#define PM_ZERO_TAIL(y)                                                                          \
    if (PM_UNITS_OF_FOUR == 4 && gl_WorkGroupID.x == 0 && p.units - PM_SLAB_FIRST <= p.slab) {   \
        for (uint i = gl_LocalInvocationID.x; i < ((~p.units + 1) & 3); i += gl_WorkGroupSize.x) \
            y[p.units - PM_SLAB_FIRST + PM_SLAB_HERE + i] = PM_UNIT(0);                          \
    }

#endif
