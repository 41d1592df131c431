/* What the files of attention share: attention.c (shapes, gradients, dispatches, cases), attention_matrix.c
 * (its dispatches where matrix units multiply) and attention_reference.c (in plain C). */
#ifndef PM_OPS_ATTENTION_H
#define PM_OPS_ATTENTION_H

#include "ops/op.h"

typedef struct pm_attention_attr {
    uint32_t heads, kv_heads;
    pm_mask mask;
    uint32_t block;
} pm_attention_attr;

/* Inputs: of attention the first three and FIRST, of attention_backward all but that. */
enum { Q, K, V, OUT, LOG_SUMS, DOUT, FIRST = 3 };

typedef struct pm_attention_geometry {
    uint32_t samples, queries, keys, heads, kv_heads, head_width, width, kv_width;
    pm_mask mask;
    uint32_t block;
    uint32_t group; /* heads of queries that share one of keys */
} pm_attention_geometry;

pm_attention_geometry pm_attention_geometry_of(const pm_graph *graph, const pm_node *node);

/* Bytes of one sample in q, or in k, and their like: the split axis is the samples'. 0: bound whole, as is
 * what has one number a query. */
uint32_t pm_attention_query_stride(const pm_attention_geometry *g);
uint32_t pm_attention_key_stride(const pm_attention_geometry *g);

/* Of a query and a key that it sees, about. */
double pm_attention_pairs(const pm_attention_geometry *g);

/* attention_reference.c. */
void pm_attention_reference(const pm_reference *ref);
void pm_attention_backward_reference(const pm_reference *ref);

#endif
