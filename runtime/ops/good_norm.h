/* Whether a training step is taken: what AdamW and the scale of the loss have to agree on. The other half is
 * shaders/include/good_norm.glsl. */
#ifndef PM_OPS_GOOD_NORM_H
#define PM_OPS_GOOD_NORM_H

#include <stdbool.h>

/* Whether the norm of a gradient is below 2^60, and so neither infinite nor NaN. */
static inline bool pm_good_norm(double norm)
{
    return norm < 0x1p60;
}

#endif
