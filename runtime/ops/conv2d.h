/* What convolution and the gradient of its weights share on the host. */
#ifndef PM_OPS_CONV2D_H
#define PM_OPS_CONV2D_H

#include "ops/op.h"
#include "ops/tile.h"

enum { GRAD_IN_DY, GRAD_IN_OTHER }; /* of both gradients: dY, then the weights or X */

/* Sizes of one convolution; `channels` etc. are X's, `out_...` are Y's. */
typedef struct pm_conv_sizes {
    uint32_t batch, height, width, channels;
    uint32_t out_height, out_width, out_channels;
    uint32_t kernel_height, kernel_width;
    uint32_t stride, top, left;
} pm_conv_sizes;

/* x [rows, channels] with each row made whole vec4s; PM_NONE of PM_NONE. */
static inline pm_tensor pm_conv_padded(pm_lowering *lowering, pm_tensor x, uint32_t rows, uint32_t channels)
{
    return pm_is(x) ? pm_padded(lowering, x, 1, rows, channels, rows) : PM_NONE;
}

/* The gradient of the weights; in conv2d_weight.c. */
void pm_lower_conv2d_weight(pm_lowering *lowering, const pm_node *node);

#endif
