/* How operators that move data share out their work, and how a shader divides by a number it learns at run
 * time. The other half is shaders/include/slab.glsl.
 *
 * The output is rows of units; a unit is what one invocation writes at once: four elements, or one where rows
 * are not multiples of four. Workgroup (x, y) covers part x of slab y, and a slab is a whole number of rows,
 * so that a dispatch can be cut along y with each operand bound by as many bytes as its rows of a slab
 * have. */
#ifndef PM_OPS_SLAB_H
#define PM_OPS_SLAB_H

#include "base/checked.h"
#include "ops/op.h"

typedef struct pm_slab {
    uint32_t rows;    /* in one slab */
    uint32_t units;   /* in one slab */
    uint32_t units_x; /* of one workgroup */
    uint32_t groups_x, groups_y;
} pm_slab;

/* What one invocation does, in units: enough to be worth a workgroup's start on a CPU driver, and little
 * enough on a GPU to keep it full. */
static inline uint32_t pm_slab_turns(const pm_lowering *lowering)
{
    return lowering->rules->is_cpu ? 32 : 4;
}

/* Shares out `rows` rows of `row_units` units; `turns` is how many units one invocation should handle. Slabs
 * are a power of two of rows, so that few of them together begin where a device can bind. */
static inline pm_slab pm_slab_of(const pm_lowering *lowering, uint32_t rows, uint32_t row_units,
                                 uint32_t turns)
{
    uint32_t target = turns * lowering->rules->lanes;
    pm_slab slab = {.rows = 1};
    while (slab.rows * 2 <= rows && slab.rows * 2 * row_units <= target) slab.rows *= 2;
    slab.units = slab.rows * row_units;
    slab.groups_x = slab.units / target;
    if (slab.groups_x == 0) slab.groups_x = 1;
    if (slab.groups_x > 32768) slab.groups_x = 32768;
    slab.units_x = pm_ceil_div(slab.units, slab.groups_x);
    slab.groups_y = pm_ceil_div(rows, slab.rows);
    return slab;
}

/* The stride of a binding of which one row of the output covers `elements` elements of four bytes. 0, i.e.
 * bound whole, where there is nothing to cut. */
static inline uint32_t pm_slab_stride(const pm_slab *slab, uint32_t elements)
{
    uint64_t bytes = (uint64_t)slab->rows * elements * 4;
    return slab->groups_y > 1 && bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

/* PM_PUSH_SLAB of the shader; `units` is how many there are in all. */
static inline void pm_push_slab(pm_dispatch *dispatch, const pm_slab *slab, uint32_t units)
{
    pm_push_u32(dispatch, units);
    pm_push_u32(dispatch, slab->units);
    pm_push_u32(dispatch, slab->units_x);
}

static inline void pm_slab_groups(pm_dispatch *dispatch, const pm_slab *slab)
{
    pm_groups(dispatch, slab->groups_x, slab->groups_y, 1, 1, 0);
}

/* A pm_divisor of the shader: n and the numbers with which it divides any x < 2^31 by n, 0 < n <= 2^31,
 * without dividing: floor(x / n) = floor(x m / 2^(31 + shift)) for m = ceil(2^(31 + shift) / n) and 2^shift
 * >= n (Granlund & Montgomery 1994, theorem 4.2). */
static inline void pm_push_divisor(pm_dispatch *dispatch, uint32_t n)
{
    uint32_t shift = 0;
    while ((1u << shift) < n) shift++;
    uint64_t power = UINT64_C(1) << (31 + shift);
    pm_push_u32(dispatch, n);
    pm_push_u32(dispatch, (uint32_t)((power + n - 1) / n));
    pm_push_u32(dispatch, shift);
}

/* Whether rows of this many elements are whole units of four; else a shader's ragged variant works element by
 * element. */
static inline bool pm_is_quads(uint32_t elements)
{
    return elements % 4 == 0;
}

#endif
