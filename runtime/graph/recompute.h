/* Activations that the backward pass computes again instead of keeping them (1604.06174): what lies between
 * two boundaries (pm_boundary) is emitted once more, right before its gradient, and the gradient is taken of
 * the copies. What others use too, such as what a block hands to the next one, is kept anyway and not
 * computed twice. The copies are the same operators on the same operands, so that no bit changes. */
#ifndef PM_GRAPH_RECOMPUTE_H
#define PM_GRAPH_RECOMPUTE_H

#include "graph/graph.h"

typedef struct pm_recomputation {
    pm_graph *graph;
    uint32_t n_nodes, n_tensors; /* of the forward graph */
    uint32_t *again;             /* by tensor id: its copy, 0: none */
} pm_recomputation;

/* For a graph whose forward part is complete; false when host memory ran out. The caller ends it. */
bool pm_recompute_begin(pm_graph *graph, pm_recomputation *out);
void pm_recompute_end(pm_recomputation *r);

/* To be called before node n is differentiated, from the last node to the first. */
void pm_recompute_before(pm_recomputation *r, uint32_t n);
/* A node as its gradient is to see it: with the copies in place of what is not kept. */
pm_node pm_recompute_node(pm_recomputation *r, const pm_node *node);

#endif
