/* Where random numbers come from: what the references of random operators share, and what their cases
 * take. */
#ifndef PM_OPS_RANDOM_H
#define PM_OPS_RANDOM_H

#include "ops/op.h"

/* The bits of elements 4 block .. 4 block + 3 of a sample (its number within the batch), by the counter of a
 * run. */
void pm_draw_block(const uint32_t counter[4], uint32_t stream, uint32_t sample, uint32_t block,
                   uint32_t bits[4]);

/* The bits of element `element` of a sample. */
uint32_t pm_draw_element(const uint32_t counter[4], uint32_t stream, uint32_t sample, uint32_t element);

/* Whether operand i is a counter, u32 [4]; puts the graph in its error state otherwise. */
bool pm_check_counter(pm_graph *graph, const pm_node *node, uint32_t i);

/* A counter that stands somewhere, for test cases. */
pm_tensor pm_case_counter(pm_graph *graph);

#endif
