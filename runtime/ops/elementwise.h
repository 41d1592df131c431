/* What other operators do for nodes of element-wise ones, where their kernels can. */
#ifndef PM_OPS_ELEMENTWISE_H
#define PM_OPS_ELEMENTWISE_H

#include "ops/op.h"

/* The activation that a node is, by its number in shaders/include/activation.glsl; 0: it is none. */
uint32_t pm_activation_of(const pm_node *node);

bool pm_is_silu(const pm_node *node);

/* Appends y = silu(x), or y = silu'(x) dy where there is dy, of tensors of equal size. */
void pm_append_silu(pm_lowering *lowering, pm_tensor x, pm_tensor dy, pm_tensor y);

/* Whether a node adds two tensors, or multiplies them. */
bool pm_adds(const pm_node *node);
bool pm_multiplies(const pm_node *node);

#endif
