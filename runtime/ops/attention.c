/* Attention with memory linear in the length: the forward pass keeps the log-sum-exp of each query's scores,
 * and the backward pass recomputes the probabilities from it (FlashAttention, 2205.14135). */
#include "base/checked.h"
#include "base/status.h"
#include "ops/op.h"
#include "ops/table.h"

#include <math.h>

/* Keys between two rescalings in the forward pass. It decides rounding, so it is the same on every device. */
enum { BLOCK = 32 };

typedef struct attention_attr {
    uint32_t heads;
    pm_mask mask;
} attention_attr;

/* Inputs of attention are the first three, of attention_backward all. */
enum { Q, K, V, OUT, LOG_SUMS, DOUT };

typedef struct attention_geometry {
    uint32_t samples, queries, keys, heads, head_width, width;
    bool causal;
} attention_geometry;

static attention_geometry geometry_of(const pm_graph *graph, const pm_node *node)
{
    const attention_attr *attr = PM_ATTR(attention_attr, node);
    pm_shape q = pm_shape_of(graph, node->in[Q]), k = pm_shape_of(graph, node->in[K]);
    return (attention_geometry){
        .samples = q.dim[0],
        .queries = q.dim[1],
        .keys = k.dim[1],
        .heads = attr->heads,
        .head_width = q.dim[2] / attr->heads,
        .width = q.dim[2],
        .causal = attr->mask == PM_MASK_CAUSAL,
    };
}

/* ---- Shapes -------------------------------------------------------------------------------------------- */

static bool check_attention(pm_graph *graph, const pm_node *node)
{
    const attention_attr *attr = PM_ATTR(attention_attr, node);
    char a[64], b[64], c[64];
    for (uint32_t i = 0; i < 3; i++) {
        if (pm_is(node->in[i]) && pm_dtype_of(graph, node->in[i]) == PM_DTYPE_F32) continue;
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: q, k and v must be f32 tensors", node->op->name);
        return false;
    }
    pm_shape q = pm_shape_of(graph, node->in[Q]), k = pm_shape_of(graph, node->in[K]);
    bool fits = q.rank == 3 && k.rank == 3 && pm_shape_equal(k, pm_shape_of(graph, node->in[V])) &&
                q.dim[0] == k.dim[0] && q.dim[2] == k.dim[2] && attr->heads && q.dim[2] % attr->heads == 0;
    if (!fits) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "%s: q %s, k %s, v %s with %u heads; they must be [B,Tq,C], [B,Tk,C], [B,Tk,C] with C "
                      "a multiple of the heads",
                      node->op->name, pm_shape_text(q, a), pm_shape_text(k, b),
                      pm_shape_text(pm_shape_of(graph, node->in[V]), c), attr->heads);
        return false;
    }
    if (attr->mask == PM_MASK_CAUSAL && q.dim[1] > k.dim[1]) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: %u causal queries of %u keys: the first ones would see none",
                      node->op->name, q.dim[1], k.dim[1]);
        return false;
    }
    return true;
}

static void shape_attention(pm_graph *graph, pm_node *node)
{
    if (!check_attention(graph, node)) return;
    attention_geometry g = geometry_of(graph, node);
    pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[Q]));
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(g.samples, g.heads, g.queries)); /* log-sum-exp */
}

static void shape_attention_backward(pm_graph *graph, pm_node *node)
{
    if (!check_attention(graph, node)) return;
    for (uint32_t i = 0; i < 3; i++)
        pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[i]));
}

/* ---- Dispatches ---------------------------------------------------------------------------------------- */

/* One kernel: lanes own rows of one side, `length` a head. */
typedef struct attention_kernel {
    const attention_geometry *geometry;
    uint32_t lanes, tile, tiles; /* tiles: of a head */
    bool ragged;
} attention_kernel;

/* Rows of a lane. A CPU driver reads what all lanes want as often as there are lanes, so that many rows a
 * lane pay; of four to eight, the number that leaves the fewest idle. A GPU has registers for one. */
static attention_kernel kernel_for(const pm_lowering *lowering, const attention_geometry *g, uint32_t length)
{
    attention_kernel kernel = {.geometry = g, .lanes = 64, .tile = 1, .ragged = g->head_width % 4 != 0};
    if (lowering->rules->is_cpu) {
        uint64_t least = UINT64_MAX;
        kernel.lanes = 8;
        for (uint32_t tile = 8; tile >= 4; tile--) {
            uint64_t tiles = (uint64_t)g->heads * pm_ceil_div(length, tile);
            uint64_t work = (tiles + kernel.lanes - 1) / kernel.lanes * tile;
            if (work >= least) continue;
            least = work;
            kernel.tile = tile;
        }
    }
    kernel.tiles = pm_ceil_div(length, kernel.tile);
    return kernel;
}

static pm_dispatch *begin(pm_lowering *lowering, const attention_kernel *kernel, const char *plain,
                          const char *ragged)
{
    const attention_geometry *g = kernel->geometry;
    pm_dispatch *d = pm_dispatch_begin(lowering, kernel->ragged ? ragged : plain, kernel->lanes);
    pm_spec(d, kernel->tile);
    pm_spec(d, BLOCK);
    pm_spec(d, g->causal);
    pm_push_u32(d, g->queries);
    pm_push_u32(d, g->keys);
    pm_push_u32(d, g->heads);
    pm_push_u32(d, g->head_width);
    pm_push_u32(d, kernel->tiles);
    pm_push_f32(d, (float)(1.0 / sqrt((double)g->head_width)));
    return d;
}

/* Bytes of one sample in q, k, v and their like: the split axis is the samples'. What has one number a query
 * is bound whole. */
static uint32_t stride_of(const attention_geometry *g, uint32_t length)
{
    uint64_t bytes = (uint64_t)length * g->width * 4;
    return g->samples > 1 && bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

static void bind_rows(pm_dispatch *d, const attention_kernel *kernel, pm_tensor tensor, uint32_t length)
{
    const attention_geometry *g = kernel->geometry;
    pm_bind_in(d, tensor, kernel->ragged ? 1 : 4, stride_of(g, length));
}

static void end(pm_dispatch *d, const attention_kernel *kernel, double products)
{
    const attention_geometry *g = kernel->geometry;
    double pairs = (double)g->samples * g->queries * g->keys * (g->causal ? 0.5 : 1.0);
    pm_groups(d, pm_ceil_div(g->heads * kernel->tiles, kernel->lanes), 1, g->samples, 2,
              2.0 * products * pairs * g->width);
}

static void lower_attention(pm_lowering *lowering, const pm_node *node)
{
    attention_geometry g = geometry_of(lowering->graph, node);
    attention_kernel kernel = kernel_for(lowering, &g, g.queries);
    pm_dispatch *d = begin(lowering, &kernel, "attention", "attention_ragged");
    bind_rows(d, &kernel, node->in[Q], g.queries);
    bind_rows(d, &kernel, node->in[K], g.keys);
    bind_rows(d, &kernel, node->in[V], g.keys);
    pm_bind_update(d, node->out[0], stride_of(&g, g.queries));
    pm_bind_out(d, node->out[1], 0);
    end(d, &kernel, 2);
}

static void lower_attention_backward(pm_lowering *lowering, const pm_node *node)
{
    attention_geometry g = geometry_of(lowering->graph, node);
    pm_tensor deltas = pm_scratch(lowering, PM_DTYPE_F32, g.samples * g.heads * g.queries);

    attention_kernel kernel = kernel_for(lowering, &g, g.queries);
    pm_dispatch *d = begin(lowering, &kernel, "attention_dq", "attention_dq_ragged");
    bind_rows(d, &kernel, node->in[Q], g.queries);
    bind_rows(d, &kernel, node->in[K], g.keys);
    bind_rows(d, &kernel, node->in[V], g.keys);
    bind_rows(d, &kernel, node->in[OUT], g.queries);
    bind_rows(d, &kernel, node->in[DOUT], g.queries);
    pm_bind_in(d, node->in[LOG_SUMS], 1, 0);
    pm_bind_update(d, node->out[Q], stride_of(&g, g.queries));
    pm_bind_out(d, deltas, 0);
    end(d, &kernel, 3);

    kernel = kernel_for(lowering, &g, g.keys);
    d = begin(lowering, &kernel, "attention_dkv", "attention_dkv_ragged");
    bind_rows(d, &kernel, node->in[Q], g.queries);
    bind_rows(d, &kernel, node->in[K], g.keys);
    bind_rows(d, &kernel, node->in[V], g.keys);
    bind_rows(d, &kernel, node->in[DOUT], g.queries);
    pm_bind_in(d, node->in[LOG_SUMS], 1, 0);
    pm_bind_in(d, deltas, 1, 0);
    pm_bind_update(d, node->out[K], stride_of(&g, g.keys));
    pm_bind_update(d, node->out[V], stride_of(&g, g.keys));
    end(d, &kernel, 4);
}

/* ---- Reference ----------------------------------------------------------------------------------------- */

/* One head of one sample: the first element of its rows in q, k and v. */
typedef struct head_at {
    uint32_t q, k, log_sums;
} head_at;

static head_at head_of(const attention_geometry *g, uint32_t sample, uint32_t head)
{
    return (head_at){
        .q = sample * g->queries * g->width + head * g->head_width,
        .k = sample * g->keys * g->width + head * g->head_width,
        .log_sums = (sample * g->heads + head) * g->queries,
    };
}

static double inner(const attention_geometry *g, const double *a, const double *b)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < g->head_width; c++) sum += a[c] * b[c];
    return sum;
}

static uint32_t keys_seen(const attention_geometry *g, uint32_t query)
{
    return g->causal ? query + g->keys - g->queries + 1 : g->keys;
}

static void reference_query(const pm_reference *ref, const attention_geometry *g, head_at at, uint32_t i)
{
    const double *q = ref->in[Q].f + at.q + i * g->width, *k = ref->in[K].f + at.k, *v = ref->in[V].f + at.k;
    double *out = ref->out[0].f + at.q + i * g->width;
    double top = -INFINITY, total = 0.0, scale = 1.0 / sqrt((double)g->head_width);
    for (uint32_t j = 0; j < keys_seen(g, i); j++) top = fmax(top, inner(g, q, k + j * g->width) * scale);
    for (uint32_t j = 0; j < keys_seen(g, i); j++) total += exp(inner(g, q, k + j * g->width) * scale - top);
    for (uint32_t c = 0; c < g->head_width; c++) out[c] = 0.0;
    for (uint32_t j = 0; j < keys_seen(g, i); j++) {
        double probability = exp(inner(g, q, k + j * g->width) * scale - top) / total;
        for (uint32_t c = 0; c < g->head_width; c++) out[c] += probability * v[j * g->width + c];
    }
    ref->out[1].f[at.log_sums + i] = top + log(total);
}

static void reference_attention(const pm_reference *ref)
{
    attention_geometry g = geometry_of(ref->graph, ref->node);
    for (uint32_t head = 0; head < g.samples * g.heads; head++) {
        head_at at = head_of(&g, head / g.heads, head % g.heads);
        for (uint32_t i = 0; i < g.queries; i++) reference_query(ref, &g, at, i);
    }
}

static void reference_query_backward(const pm_reference *ref, const attention_geometry *g, head_at at,
                                     uint32_t i)
{
    uint32_t row = at.q + i * g->width;
    const double *q = ref->in[Q].f + row, *out = ref->in[OUT].f + row, *dout = ref->in[DOUT].f + row;
    double *dq = ref->out[Q].f + row, delta = inner(g, out, dout), scale = 1.0 / sqrt((double)g->head_width);
    for (uint32_t j = 0; j < keys_seen(g, i); j++) {
        const double *k = ref->in[K].f + at.k + j * g->width, *v = ref->in[V].f + at.k + j * g->width;
        double *dk = ref->out[K].f + at.k + j * g->width, *dv = ref->out[V].f + at.k + j * g->width;
        double probability = exp(inner(g, q, k) * scale - ref->in[LOG_SUMS].f[at.log_sums + i]);
        double dscore = probability * (inner(g, dout, v) - delta) * scale;
        for (uint32_t c = 0; c < g->head_width; c++) {
            dv[c] += probability * dout[c];
            dq[c] += dscore * k[c];
            dk[c] += dscore * q[c];
        }
    }
}

static void reference_attention_backward(const pm_reference *ref)
{
    attention_geometry g = geometry_of(ref->graph, ref->node);
    for (uint32_t o = 0; o < 3; o++) {
        for (uint32_t i = 0; i < ref->out[o].count; i++) ref->out[o].f[i] = 0.0;
    }
    for (uint32_t head = 0; head < g.samples * g.heads; head++) {
        head_at at = head_of(&g, head / g.heads, head % g.heads);
        for (uint32_t i = 0; i < g.queries; i++) reference_query_backward(ref, &g, at, i);
    }
}

/* ---- Operators ----------------------------------------------------------------------------------------- */

const pm_op pm_op_attention_backward = {
    .name = "attention_backward",
    .shape = shape_attention_backward,
    .lower = lower_attention_backward,
    .reference = reference_attention_backward,
};

static void backward_attention(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                               const bool *wants, pm_tensor *grad_in)
{
    (void)wants; /* what q, k and v need is the same work */
    if (!pm_is(grad_out[0])) return;
    pm_tensor in[] = {node->in[Q], node->in[K], node->in[V], node->out[0], node->out[1], grad_out[0]};
    pm_emit(graph, &pm_op_attention_backward, in, 6, node->attr, sizeof(attention_attr), grad_in);
}

/* p: batch, queries, keys, heads, width of a head, mask. */
static pm_tensor case_attention(pm_graph *graph, const uint32_t *p)
{
    pm_tensor q = pm_case_leaf(graph, "q", PM_SHAPE(p[0], p[1], p[3] * p[4]), 1.5f);
    pm_tensor k = pm_case_leaf(graph, "k", PM_SHAPE(p[0], p[2], p[3] * p[4]), 1.5f);
    pm_tensor v = pm_case_leaf(graph, "v", PM_SHAPE(p[0], p[2], p[3] * p[4]), 1.0f);
    return pm_attention(graph, q, k, v, (pm_attention_args){.heads = p[3], .mask = (pm_mask)p[5]});
}

static const pm_case cases_attention[] = {
    {.name = "one block", .build = case_attention, .p = {2, 7, 7, 2, 8}},
    {.name = "causal, odd head", .build = case_attention, .p = {1, 9, 9, 2, 5, PM_MASK_CAUSAL}},
    {.name = "other keys, several blocks", .build = case_attention, .p = {1, 5, 70, 1, 4}},
    {.name = "causal, several blocks", .build = case_attention, .p = {1, 67, 67, 1, 4, PM_MASK_CAUSAL}},
    {.name = "causal, more keys than queries",
     .build = case_attention,
     .p = {2, 3, 37, 1, 4, PM_MASK_CAUSAL}},
    {.name = "one query, one key", .build = case_attention, .p = {3, 1, 1, 2, 3}},
    {.name = "several workgroups", .build = case_attention, .p = {3, 40, 6, 3, 4}},
    {.name = "wide head", .build = case_attention, .p = {1, 2, 3, 1, 128}},
    {.name = "7x7 of a U-Net", .build = case_attention, .p = {32, 49, 49, 1, 64}, .bench = true},
    {.name = "causal, 16x256",
     .build = case_attention,
     .p = {16, 256, 256, 4, 64, PM_MASK_CAUSAL},
     .bench = true},
};

const pm_op pm_op_attention = {
    .name = "attention",
    .shape = shape_attention,
    .backward = backward_attention,
    .lower = lower_attention,
    .reference = reference_attention,
    PM_CASES(cases_attention),
};

pm_tensor pm_attention(pm_graph *graph, pm_tensor q, pm_tensor k, pm_tensor v, pm_attention_args args)
{
    attention_attr attr = {args.heads, args.mask};
    return pm_emit(graph, &pm_op_attention, (pm_tensor[]){q, k, v}, 3, &attr, sizeof attr, NULL);
}
