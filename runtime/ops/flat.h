/* What element-by-element dispatches share: tensors of equal size seen as rows of four elements. */
#ifndef PM_OPS_FLAT_H
#define PM_OPS_FLAT_H

#include "base/checked.h"
#include "ops/op.h"

#define PM_QUADS_PER_LANE 8u /* as in shaders/include/each_quad.glsl */

/* Groups of four that cover a tensor. Memory is padded to a multiple of four elements, so the last one may
 * run over the end of the tensor but never into another one. */
static inline uint32_t pm_quads(uint32_t elements)
{
    return pm_ceil_div(elements, 4);
}

/* Workgroups for `quads`, and the bytes of an f32 tensor that one of them covers: the stride of a flat
 * binding. */
static inline uint32_t pm_flat_groups(const pm_lowering *lowering, uint32_t quads)
{
    return pm_ceil_div(quads, PM_QUADS_PER_LANE * lowering->rules->lanes);
}

static inline uint32_t pm_flat_stride(const pm_lowering *lowering)
{
    return PM_QUADS_PER_LANE * lowering->rules->lanes * 16u;
}

#endif
