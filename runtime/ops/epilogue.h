/* What products and convolutions add to their sums at the end: their kernels do it themselves, or where that
 * is turned off (PM_BIAS_EPILOGUE and its like) kernels of their own do, in the same order, with the same
 * bits. */
#ifndef PM_OPS_EPILOGUE_H
#define PM_OPS_EPILOGUE_H

#include "ops/op.h"

/* One of them, seen as rows [outer, repeat, inner] of the output: x has [outer, inner] elements. */
typedef struct pm_addend {
    pm_tensor x;
    uint32_t outer, repeat, inner;
    pm_feature feature;
} pm_addend;

/* Of `count` addends in the order in which they are added: how many the kernel itself adds. */
uint32_t pm_addends_inside(const pm_lowering *lowering, const pm_addend *addends, uint32_t count);

/* Where the kernel writes, when only the first `inside` addends are its own: `out`, or a tensor that
 * pm_lower_addends goes on from. */
pm_tensor pm_addends_begin(pm_lowering *lowering, const pm_addend *addends, uint32_t inside, uint32_t count,
                           pm_tensor out);
void pm_lower_addends(pm_lowering *lowering, pm_tensor from, const pm_addend *addends, uint32_t inside,
                      uint32_t count, pm_tensor out);

#endif
