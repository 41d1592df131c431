/* Strided views: what broadcast, slice, transpose and up-sampling have in common on the device. */
#ifndef PM_OPS_LAYOUT_H
#define PM_OPS_LAYOUT_H

#include "ops/op.h"
#include "ops/slab.h"

#define PM_VIEW_AXES 5u /* as in shaders/include/view.glsl */

/* Element (i0, i1, ...) of the output, which has these extents, is element first + sum of stride[k] i_k of
 * the input. */
typedef struct pm_strided {
    uint32_t rank;
    uint32_t extent[PM_VIEW_AXES], stride[PM_VIEW_AXES];
    uint32_t first;
} pm_strided;

/* The view that is a dense tensor itself; rules change its strides. */
pm_strided pm_dense_view(pm_shape shape);

/* Appends the dispatch of y = scale * view of x; f32 or, with scale 1, u32. */
void pm_lower_gather(pm_lowering *lowering, pm_tensor x, pm_tensor y, pm_strided view, float scale);

/* Appends the dispatch that copies x, so many rows of `width` elements, into y, whose rows are `longer`:
 * zeros follow. */
void pm_lower_longer_rows(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t rows, uint32_t width,
                          uint32_t longer);

/* x with zeros before and after it along `axis`, which then has `extent`: the adjoint of a slice. */
pm_tensor pm_pad(pm_graph *graph, pm_tensor x, uint32_t axis, uint32_t begin, uint32_t extent);

/* PM_PUSH_VIEW of the shader, for a view in units of which one slab covers input_slab units of the input. */
void pm_push_view(pm_dispatch *dispatch, const pm_slab *slab, const pm_strided *view, uint32_t input_slab);

/* Number of view's units in one row, i.e. one step along axis 0. */
uint32_t pm_view_row(const pm_strided *view);

/* For references of operators that only move data: to[i] = from[j]. */
static inline void pm_host_copy(const pm_host *to, uint32_t i, const pm_host *from, uint32_t j)
{
    if (to->f) to->f[i] = from->f[j];
    if (to->u) to->u[i] = from->u[j];
}

#endif
