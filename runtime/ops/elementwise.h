/* What other operators do for nodes of element-wise ones, where their kernels can. */
#ifndef PM_OPS_ELEMENTWISE_H
#define PM_OPS_ELEMENTWISE_H

#include "ops/op.h"

/* The activation that a node is, by its number in shaders/include/activation.glsl; 0: it is none. */
uint32_t pm_activation_of(const pm_node *node);

/* Whether a node adds two tensors, or multiplies them. */
bool pm_adds(const pm_node *node);
bool pm_multiplies(const pm_node *node);

#endif
