/* Column sums, for every operator that needs one. */
#ifndef PM_OPS_REDUCE_H
#define PM_OPS_REDUCE_H

#include "ops/op.h"

/* Appends the dispatches of y[o,c] = sum over r of x[o,r,c], for x f32 [outer,rows,width] and y
 * [outer,width]. The order of the additions depends on rows and width alone: rows are cut into chunks of
 * about sqrt(rows), each is added in order, and the chunks' sums likewise. Uses scratch memory of at most
 * about y's size times sqrt(rows). */
void pm_lower_sum(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t outer, uint32_t rows,
                  uint32_t width);

/* y[c] = the sum of x[c], x[c + width], x[c + 2 width], ..., in that order from +0, for x f32 [count] and y
 * [width]. */
void pm_lower_columns(pm_lowering *lowering, pm_tensor x, pm_tensor y, uint32_t count, uint32_t width);

#endif
