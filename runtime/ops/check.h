/* What shape rules check first. */
#ifndef PM_OPS_CHECK_H
#define PM_OPS_CHECK_H

#include "ops/op.h"

/* Whether operand i is there and has this type; puts the graph in its error state otherwise. */
static inline bool pm_check_operand(pm_graph *graph, const pm_node *node, uint32_t i, pm_dtype dtype)
{
    static const char *const names[] = {[PM_DTYPE_F32] = "f32", [PM_DTYPE_U32] = "u32", [PM_DTYPE_U8] = "u8"};
    if (i < node->n_in && pm_is(node->in[i]) && pm_dtype_of(graph, node->in[i]) == dtype) return true;
    pm_graph_fail(graph, PM_BAD_USAGE, "%s: operand %u must be a tensor of type %s", node->op->name, i,
                  names[dtype]);
    return false;
}

/* Whether operand i is there and has elements of four bytes: what operators that only move data take. */
static inline bool pm_check_words(pm_graph *graph, const pm_node *node, uint32_t i)
{
    if (i < node->n_in && pm_is(node->in[i]) && pm_dtype_of(graph, node->in[i]) != PM_DTYPE_U8) return true;
    pm_graph_fail(graph, PM_BAD_USAGE, "%s: operand %u must be an f32 or u32 tensor", node->op->name, i);
    return false;
}

#endif
