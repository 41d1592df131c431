/* Runs a graph in plain C, in double: the oracle of tests, of the gradient check and of `pumice check`. */
#ifndef PM_PLAN_REFERENCE_H
#define PM_PLAN_REFERENCE_H

#include "ops/op.h"

typedef struct pm_reference_run {
    const pm_graph *graph;
    uint32_t n_tensors; /* of the graph when this was made; later ones are unknown to it */
    double **f;         /* by root id: values of f32 roots */
    uint32_t **u;       /* by root id: values of u32 and u8 roots */
} pm_reference_run;

/* Allocates and fills every root: zeros, constants' data, parameters' initial values from the seed. */
pm_status pm_reference_create(const pm_graph *graph, uint64_t seed, pm_reference_run **out, pm_error *error);
void pm_reference_destroy(pm_reference_run *run);

/* Computes nodes 0 .. count-1 in order; or one of them, from what its inputs hold. */
void pm_reference_nodes(pm_reference_run *run, uint32_t count);
void pm_reference_node(pm_reference_run *run, uint32_t node);

/* The operands of a node as its reference takes them: owned by the run. */
pm_reference pm_reference_operands(const pm_reference_run *run, uint32_t node);

/* A tensor's values inside the run: f for f32, u for the others. Owned by the run. */
pm_host pm_reference_host(const pm_reference_run *run, pm_tensor tensor);

#endif
