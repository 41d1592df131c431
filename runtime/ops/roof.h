/* What a device can do at most, as kernels to be timed: arithmetic without memory, and memory without
 * arithmetic. They compute nothing for anybody and are in no table. */
#ifndef PM_OPS_ROOF_H
#define PM_OPS_ROOF_H

#include "pumice.h"

enum {
    PM_ROOF_STEPS = 64, /* multiply-adds of a chain in one round; as in shaders/roof.comp */
    PM_ROOF_MOST_CHAINS = 16,
    PM_ROOF_LANES = 1024, /* a multiple of all workgroups */
};

/* Chains of x = a x + b in registers: `chains` (1 .. 16) independent ones of four elements in each
 * invocation, each of `rounds` times PM_ROOF_STEPS multiply-adds, which in precision exact are a multiply and
 * an add, in f32 an fma. `invocations` is a multiple of PM_ROOF_LANES, up to 2^24; the result is
 * [invocations,4]. */
pm_tensor pm_roof_multiply_add(pm_graph *graph, uint32_t invocations, uint32_t chains, uint32_t rounds);

/* What element `element` (0 .. 3) of lane `lane` of a workgroup comes to in precision exact, bit for bit. */
float pm_roof_reference(uint32_t lane, uint32_t element, uint32_t chains, uint32_t rounds);

/* y = x, f32. */
pm_tensor pm_roof_copy(pm_graph *graph, pm_tensor x);

#endif
