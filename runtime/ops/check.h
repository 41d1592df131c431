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

/* A shape rule: all operands are f32 and of one shape, which is the output's. */
static inline void pm_shape_of_equals(pm_graph *graph, pm_node *node)
{
    char a[64], b[64];
    pm_shape shape = pm_shape_of(graph, node->in[0]);
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (!pm_check_operand(graph, node, i, PM_DTYPE_F32)) return;
        if (!pm_shape_equal(pm_shape_of(graph, node->in[i]), shape)) {
            pm_graph_fail(graph, PM_BAD_USAGE, "%s: shapes %s and %s differ", node->op->name,
                          pm_shape_text(shape, a), pm_shape_text(pm_shape_of(graph, node->in[i]), b));
            return;
        }
    }
    pm_node_output(graph, node, PM_DTYPE_F32, shape);
}

#endif
