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

/* Whether matrix units, or kernels that round, have operands of 16 bits for these shapes. Of fewer queries or
 * keys a block would be all but empty. */
static inline bool pm_attention_is_half(const pm_attention_geometry *g)
{
    enum { LEAST_ROWS = 16 };
    bool known_width = g->head_width == 32 || g->head_width == 64 || g->head_width == 128;
    return known_width && g->queries >= LEAST_ROWS && g->keys >= LEAST_ROWS;
}

/* Bytes of one sample in q, or in k, and their like: the split axis is the samples'. 0: bound whole, as is
 * what has one number a query. */
uint32_t pm_attention_query_stride(const pm_attention_geometry *g);
uint32_t pm_attention_key_stride(const pm_attention_geometry *g);

/* Of a query and a key that it sees, about. */
double pm_attention_pairs(const pm_attention_geometry *g);

/* attention_matrix.c: append the dispatch of a node, or of some of its samples (pm_lower_by_rows), by matrix
 * units: what attention.comp, attention_dq.comp and attention_dkv.comp compute. False: these have to, since
 * there are no matrix units, or none for the node's shapes. `deltas` [samples, heads, queries] is written by
 * the second, read by the third. */
bool pm_attention_append_matrix(pm_lowering *lowering, const pm_node *node);
bool pm_attention_append_dq_matrix(pm_lowering *lowering, const pm_node *node, pm_tensor deltas);
bool pm_attention_append_dkv_matrix(pm_lowering *lowering, const pm_node *node, pm_tensor deltas);

/* What a workgroup of attention by matrix units is made of; see shaders/include/attention_matrix.glsl. */
typedef struct pm_attention_block {
    uint32_t high, wide;          /* subgroups */
    uint32_t theirs;              /* rows of the other side that a step takes */
    uint32_t kept;                /* own rows in shared memory; 0: they are in registers */
    bool ahead;                   /* a lane fetches its part of theirs before it waits for any of it */
    uint32_t lanes, shared_bytes; /* of the workgroup */
} pm_attention_block;

/* For heads of `width` channels and `rows` rows of a head, of which a workgroup brings `tensors` and gives
 * `results`; lanes == 0: there is none for these. */
pm_attention_block pm_attention_block_for(const pm_rules *rules, uint32_t width, uint32_t rows,
                                          uint32_t tensors, uint32_t results);

/* attention_reference.c. */
void pm_attention_reference(const pm_reference *ref);
void pm_attention_backward_reference(const pm_reference *ref);
void pm_attention_rounding(const pm_reference *ref); /* see pm_op */
void pm_attention_backward_rounding(const pm_reference *ref);

#endif
