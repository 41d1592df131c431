/* Attention with memory linear in the length: the forward pass keeps the log-sum-exp of each query's scores,
 * and the backward pass recomputes the probabilities from it (FlashAttention, 2205.14135).
 *
 * A lane adds up in memory what is as wide as a head. A CPU driver loads and stores lane by lane, which takes
 * longer than the arithmetic: there the weights of a few samples are written down instead, of the backward
 * pass both kinds once, and attention_product.comp multiplies them by register tiles, in the same order. Its
 * lanes fetch for each other, if they can. Of a few queries, each has a workgroup (attention_token.comp). */
#include "ops/attention.h"
#include "base/checked.h"
#include "base/status.h"
#include "ops/table.h"
#include "ops/tile.h"

#include <math.h>

/* Keys between two rescalings in the forward pass. It decides rounding, so it is the same on every device. */
enum { BLOCK = 32 };

/* Keys that a step of the backward pass takes, where weights are written down (PM_ATTENTION_PRODUCTS). */
enum { WEIGHT_BLOCK = 16 };

pm_attention_geometry pm_attention_geometry_of(const pm_graph *graph, const pm_node *node)
{
    const pm_attention_attr *attr = PM_ATTR(pm_attention_attr, node);
    pm_shape q = pm_shape_of(graph, node->in[Q]), k = pm_shape_of(graph, node->in[K]);
    return (pm_attention_geometry){
        .samples = q.dim[0],
        .queries = q.dim[1],
        .keys = k.dim[1],
        .heads = attr->heads,
        .kv_heads = attr->kv_heads,
        .head_width = q.dim[2] / attr->heads,
        .width = q.dim[2],
        .kv_width = k.dim[2],
        .mask = attr->mask,
        .block = attr->block,
        .group = attr->heads / attr->kv_heads,
    };
}

/* ---- Shapes -------------------------------------------------------------------------------------------- */

static bool check_mask(pm_graph *graph, const pm_node *node, uint32_t queries, uint32_t keys)
{
    const pm_attention_attr *attr = PM_ATTR(pm_attention_attr, node);
    const char *name = node->op->name;
    if (attr->mask > PM_MASK_BLOCK) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: %u is no mask", name, (unsigned)attr->mask);
    } else if (attr->mask != PM_MASK_NONE && queries > keys) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: %u masked queries of %u keys: the first ones would see none",
                      name, queries, keys);
    } else if (attr->mask == PM_MASK_BLOCK && (attr->block == 0 || attr->block > INT32_MAX)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: blocks of %u positions; PM_MASK_BLOCK needs 1 to 2^31 - 1",
                      name, attr->block);
    }
    return pm_ok(graph);
}

static bool check_attention(pm_graph *graph, const pm_node *node)
{
    const pm_attention_attr *attr = PM_ATTR(pm_attention_attr, node);
    char a[64], b[64], c[64];
    for (uint32_t i = 0; i < 3; i++) {
        if (pm_is(node->in[i]) && pm_dtype_of(graph, node->in[i]) == PM_DTYPE_F32) continue;
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: q, k and v must be f32 tensors", node->op->name);
        return false;
    }
    pm_shape q = pm_shape_of(graph, node->in[Q]), k = pm_shape_of(graph, node->in[K]);
    bool heads = attr->heads && attr->heads % attr->kv_heads == 0;
    bool fits = heads && q.rank == 3 && k.rank == 3 && pm_shape_equal(k, pm_shape_of(graph, node->in[V])) &&
                q.dim[0] == k.dim[0] && q.dim[2] % attr->heads == 0 && k.dim[2] % attr->kv_heads == 0 &&
                q.dim[2] / attr->heads == k.dim[2] / attr->kv_heads;
    if (!fits) {
        pm_graph_fail(
            graph, PM_BAD_USAGE,
            "%s: q %s, k %s, v %s with %u heads of queries and %u of keys; they must be [B,Tq,H D], "
            "[B,Tk,G D] and [B,Tk,G D] for H and G heads, G a divisor of H",
            node->op->name, pm_shape_text(q, a), pm_shape_text(k, b),
            pm_shape_text(pm_shape_of(graph, node->in[V]), c), attr->heads, attr->kv_heads);
        return false;
    }
    return check_mask(graph, node, q.dim[1], k.dim[1]);
}

static bool check_first(pm_graph *graph, const pm_node *node)
{
    pm_tensor first = node->in[FIRST];
    if (!pm_is(first)) return true;
    if (pm_dtype_of(graph, first) != PM_DTYPE_U32 || pm_count_of(graph, first) != 1) {
        pm_graph_fail(graph, PM_BAD_USAGE, "attention: first must be u32 [1]");
    } else if (PM_ATTR(pm_attention_attr, node)->mask != PM_MASK_CAUSAL) {
        pm_graph_fail(graph, PM_BAD_USAGE, "attention: with first the mask must be PM_MASK_CAUSAL");
    }
    return pm_ok(graph);
}

static void shape_attention(pm_graph *graph, pm_node *node)
{
    if (!check_attention(graph, node) || !check_first(graph, node)) return;
    pm_attention_geometry g = pm_attention_geometry_of(graph, node);
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

/* One kernel: lanes own rows of one side, queries or keys. */
enum { HAS_FIRST_SPEC = 6 };    /* constant_id, of attention_forward.glsl */
enum { WEIGHT_ROWS_SPEC = 11 }; /* the same, of attention_product_tile.glsl */

typedef struct attention_kernel {
    const pm_attention_geometry *geometry;
    uint32_t heads;              /* of that side */
    uint32_t lanes, tile, tiles; /* tiles: of a head */
    uint32_t block;              /* rows of the other side that a step takes */
    bool over_keys, ragged;
    uint32_t weight_rows; /* 0: it adds up by itself; else of a product by the weights that it writes */
    bool shows;           /* lanes, all of one head, fetch for each other */
    bool whole_group;     /* a tile has a workgroup, not a lane */
} attention_kernel;

/* Rows of a lane. A CPU driver reads what all lanes want as often as there are lanes, so that many rows a
 * lane pay; of four to eight, where there are as many, the number that leaves the fewest idle. A GPU has
 * registers for the rules' number, which is only taken where that leaves enough lanes. */
static uint32_t rows_of_lane(const pm_rules *rules, const attention_kernel *kernel, uint32_t length)
{
    uint64_t rows = (uint64_t)kernel->geometry->samples * kernel->heads * length, least = UINT64_MAX;
    uint32_t best = 1;
    if (!rules->is_cpu)
        return rows >= (uint64_t)rules->attention_rows * PM_BUSY_LANES ? rules->attention_rows : 1;
    for (uint32_t tile = 8, low = length < 4 ? length : 4; tile >= low; tile--) {
        uint64_t tiles = (uint64_t)kernel->heads * pm_ceil_div(length, tile);
        uint64_t work = (tiles + kernel->lanes - 1) / kernel->lanes * tile;
        if (work >= least) continue;
        least = work;
        best = tile;
    }
    return best;
}

static attention_kernel kernel_for(const pm_lowering *lowering, const pm_attention_geometry *g,
                                   bool over_keys, bool forward)
{
    attention_kernel kernel = {
        .geometry = g,
        .heads = over_keys ? g->kv_heads : g->heads,
        .lanes = 64,
        .block = forward ? BLOCK : lowering->rules->attention_block,
        .over_keys = over_keys,
        .ragged = g->head_width % 4 != 0,
    };
    uint32_t length = over_keys ? g->keys : g->queries;
    if (lowering->rules->is_cpu) kernel.lanes = lowering->rules->gemm_lanes;
    kernel.tile = rows_of_lane(lowering->rules, &kernel, length);
    kernel.tiles = pm_ceil_div(length, kernel.tile);
    return kernel;
}

/* Of a row of weights, which is whole blocks of keys and one more: rows that lie a power of two apart push
 * each other out of a CPU's caches, and what is written of a row ends at a multiple of up to two blocks. And
 * weights of a sample, whose heads have whole blocks of queries. */
static uint32_t weight_quads(const pm_attention_geometry *g)
{
    return (pm_ceil_div(g->keys, BLOCK) + 1) * (BLOCK / 4);
}

static uint64_t weights_of_sample(const pm_attention_geometry *g)
{
    return (uint64_t)g->heads * pm_ceil_div(g->queries, BLOCK) * BLOCK * weight_quads(g) * 4;
}

/* Whether kernels round the operands of products, as matrix units do. */
static bool rounds(const pm_rules *rules, const pm_attention_geometry *g)
{
    return rules->rounds && pm_attention_is_half(g);
}

/* The variant of a kernel. */
#define SHADER(kernel, name) ((kernel)->shows ? name "_lanes" : (kernel)->ragged ? name "_ragged" : name)

static pm_dispatch *begin(pm_lowering *lowering, const attention_kernel *kernel, const char *shader)
{
    const pm_attention_geometry *g = kernel->geometry;
    uint64_t blocks = pm_ceil_div(g->queries > g->keys ? g->queries : g->keys, BLOCK);
    (void)pm_rounds_fit(lowering, "attention", "sequences of this length",
                        blocks * g->group * (3 * pm_ceil_div(g->head_width, 4) + 1));
    pm_dispatch *d = pm_dispatch_begin(lowering, shader, kernel->lanes);
    d->rounds = rounds(lowering->rules, g);
    pm_spec(d, kernel->tile);
    pm_spec(d, kernel->block);
    pm_spec(d, g->mask);
    pm_spec(d, g->group);
    pm_spec(d, kernel->over_keys);
    pm_spec(d, 0); /* of a kernel's own */
    pm_spec(d, kernel->weight_rows);
    if (kernel->shows) {
        pm_spec(d, 0);
        pm_spec(d, lowering->rules->shuffles);
    }
    pm_push_u32(d, g->queries);
    pm_push_u32(d, g->keys);
    pm_push_u32(d, g->heads);
    pm_push_u32(d, g->head_width);
    pm_push_u32(d, kernel->tiles);
    pm_push_f32(d, (float)(1.0 / sqrt((double)g->head_width)));
    pm_push_u32(d, g->block);
    pm_push_u32(d, weight_quads(g));
    return d;
}

static uint32_t stride_of(const pm_attention_geometry *g, uint32_t length, uint32_t width)
{
    uint64_t bytes = (uint64_t)length * width * 4;
    return g->samples > 1 && bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

uint32_t pm_attention_query_stride(const pm_attention_geometry *g)
{
    return stride_of(g, g->queries, g->width);
}

uint32_t pm_attention_key_stride(const pm_attention_geometry *g)
{
    return stride_of(g, g->keys, g->kv_width);
}

static void bind_queries(pm_dispatch *d, const attention_kernel *kernel, pm_tensor tensor)
{
    pm_bind_in(d, tensor, kernel->ragged ? 1 : 4, pm_attention_query_stride(kernel->geometry));
}

static void bind_keys(pm_dispatch *d, const attention_kernel *kernel, pm_tensor tensor)
{
    pm_bind_in(d, tensor, kernel->ragged ? 1 : 4, pm_attention_key_stride(kernel->geometry));
}

double pm_attention_pairs(const pm_attention_geometry *g)
{
    return (double)g->samples * g->queries * g->keys * (g->mask == PM_MASK_NONE ? 1.0 : 0.5);
}

static void end(pm_dispatch *d, const attention_kernel *kernel, double products)
{
    const pm_attention_geometry *g = kernel->geometry;
    uint32_t tiles_of_group = kernel->whole_group ? 1 : kernel->lanes;
    pm_groups(d, pm_ceil_div(kernel->heads * kernel->tiles, tiles_of_group), 1, g->samples, 2,
              2.0 * products * pm_attention_pairs(g) * g->width);
}

/* ---- By weights that are written down (PM_ATTENTION_PRODUCTS) ---- */

/* Samples that begin where they can be bound, all of whose tensors with `elements` a sample do. */
static uint32_t granule_of(uint64_t elements)
{
    uint32_t samples = 1;
    while (samples * elements * 4 % PM_BIND_ALIGN != 0) samples *= 2;
    return samples;
}

static uint32_t most_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* How many samples at a time may have their weights written down, `count` for each pair of query and key; 0:
 * the kernels add up by themselves. Fewer queries or keys than a block would waste most of the work. */
static uint32_t samples_by_weights(const pm_lowering *lowering, const pm_node *node, uint32_t count)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    bool is_first = node->op == &pm_op_attention && pm_is(node->in[FIRST]);
    if (!pm_on(lowering->rules, PM_ATTENTION_PRODUCTS) || lowering->rules->attention_bytes == 0 || is_first ||
        g.head_width % 4 != 0 || g.queries < BLOCK || g.keys < BLOCK)
        return 0;
    uint64_t queries = (uint64_t)g.queries * g.width, keys = (uint64_t)g.keys * g.kv_width;
    uint64_t weights = weights_of_sample(&g), largest = queries > keys ? queries : keys;
    uint64_t reach =
        pm_reach(lowering, 0) < pm_reach(lowering, 4) ? pm_reach(lowering, 0) : pm_reach(lowering, 4);
    if (weights > largest) largest = weights;
    uint64_t most = reach / (largest * 4),
             most_written = lowering->rules->attention_bytes / (weights * count * 4);
    if (most > most_written) most = most_written;
    if (most >= g.samples) return g.samples;
    uint32_t granule =
        most_of(most_of(granule_of(queries), granule_of(keys)), granule_of((uint64_t)g.heads * g.queries));
    return (uint32_t)most / granule * granule;
}

static pm_tensor scratch_weights(pm_lowering *lowering, const pm_attention_geometry *g)
{
    return pm_scratch(lowering, PM_DTYPE_F32, (uint32_t)(g->samples * weights_of_sample(g)));
}

static pm_tensor no_weights(pm_lowering *lowering)
{
    return pm_scratch(lowering, PM_DTYPE_F32, 4);
}

/* The tile of a product by weights. Lanes that fetch for each other lie side by side where a head is as wide
 * as they are; that takes more rows together, which under a mask is more work. Else one below the other. */
static pm_tile tile_of_product(const pm_rules *rules, const pm_attention_geometry *g, uint32_t length)
{
    enum { ROWS_BELOW = 4, ROWS_BESIDE = 64 };
    uint32_t quads = g->head_width / 4, lanes = rules->gemm_lanes;
    pm_tile tile = {.rows = ROWS_BELOW, .columns = quads < 8 ? quads : 8, .lanes = lanes};
    tile.shows = pm_on(rules, PM_SHARED_FETCHES) && 4 * tile.columns % lanes == 0;
    if (!tile.shows) {
        tile.rows = 16;
        tile.columns = quads < 4 ? quads : 4;
        while (tile.columns << tile.log2_lanes < quads && 1u << tile.log2_lanes < lanes) tile.log2_lanes++;
    } else if (quads % lanes == 0 && (g->mask == PM_MASK_NONE || ROWS_BELOW * lanes >= ROWS_BESIDE)) {
        tile.rows = ROWS_BESIDE;
        tile.columns = 1;
        tile.log2_lanes = pm_log2_of(lanes);
    }
    tile.group_rows = tile.rows * (lanes >> tile.log2_lanes);
    tile.groups_x = pm_ceil_div(quads, tile.columns << tile.log2_lanes);
    tile.groups_y = pm_ceil_div(length, tile.group_rows);
    return tile;
}

/* Rows of it that go through the terms together. */
static uint32_t product_rows(const pm_lowering *lowering, const pm_attention_geometry *g)
{
    pm_tile tile = tile_of_product(lowering->rules, g, g->queries);
    return tile.shows ? tile.group_rows : tile.rows;
}

static attention_kernel weights_kernel(const pm_lowering *lowering, const pm_attention_geometry *g,
                                       uint32_t block)
{
    bool shows = pm_on(lowering->rules, PM_SHARED_FETCHES) && block % lowering->rules->gemm_lanes == 0;
    uint32_t lanes = lowering->rules->gemm_lanes, tile = shows ? 4 : 8, tiles = pm_ceil_div(g->queries, tile);
    return (attention_kernel){
        .geometry = g,
        .heads = g->heads,
        .lanes = lanes,
        .tile = tile,
        .tiles = shows ? pm_ceil_div(tiles, lanes) * lanes : tiles,
        .block = block,
        .weight_rows = product_rows(lowering, g),
        .shows = shows,
    };
}

/* result = weights theirs, rescaled by `factors` if there are any, for each head of queries; or of keys,
 * where the weights are transposed. */
static void append_product(pm_lowering *lowering, const pm_attention_geometry *g, bool over_keys,
                           pm_tensor weights, pm_tensor theirs, pm_tensor factors, pm_tensor result)
{
    uint32_t heads = over_keys ? g->kv_heads : g->heads;
    pm_tile tile = tile_of_product(lowering->rules, g, over_keys ? g->keys : g->queries);
    pm_dispatch *d = pm_dispatch_begin(lowering, PM_TILE_SHADER(&tile, "attention_product"), tile.lanes);
    d->rounds = rounds(lowering->rules, g);
    pm_spec_tile(d, &tile, 4); /* whole vec4s */
    pm_spec(d, over_keys);
    pm_spec(d, pm_is(factors));
    pm_spec(d, g->mask);
    pm_spec(d, g->group);
    pm_spec(d, pm_is(factors) ? BLOCK : WEIGHT_BLOCK);
    pm_spec_shared(d, lowering->rules, &tile);
    while (d->n_spec < WEIGHT_ROWS_SPEC) pm_spec(d, 0);
    pm_spec(d, product_rows(lowering, g));
    const uint32_t numbers[] = {g->queries, g->keys,         g->heads,       g->head_width / 4,
                                g->block,   weight_quads(g), tile.log2_lanes};
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) pm_push_u32(d, numbers[i]);
    pm_bind_in(d, weights, 4, 0);
    pm_bind_in(d, theirs, 4, 0);
    pm_bind_in(d, pm_is(factors) ? factors : no_weights(lowering), 1, 0);
    pm_bind_out(d, result, 0);
    pm_groups(d, tile.groups_x, tile.groups_y, g->samples * heads, 2, 2.0 * pm_attention_pairs(g) * g->width);
}

/* ---- Both ---- */

/* Weights and factors: where they are written, of kernels that can. */
static void append_forward(pm_lowering *lowering, const pm_node *node, const attention_kernel *kernel,
                           const char *shader, pm_tensor weights, pm_tensor factors)
{
    const pm_attention_geometry *g = kernel->geometry;
    pm_dispatch *d = begin(lowering, kernel, shader);
    bool has_first = pm_is(node->in[FIRST]);
    d->spec[HAS_FIRST_SPEC] = has_first;
    bind_queries(d, kernel, node->in[Q]);
    bind_keys(d, kernel, node->in[K]);
    bind_keys(d, kernel, node->in[V]);
    pm_bind_update(d, node->out[0], pm_attention_query_stride(g));
    pm_bind_out(d, node->out[1], 0);
    pm_bind_in(d, has_first ? node->in[FIRST] : pm_scratch(lowering, PM_DTYPE_U32, 1), 1, 0);
    if (pm_is(weights)) pm_bind_out(d, weights, 0);
    if (pm_is(factors)) pm_bind_out(d, factors, 0);
    if (kernel->whole_group && !kernel->shows) d->shared_bytes = 2 * BLOCK * sizeof(float);
    end(d, kernel, kernel->weight_rows ? 1 : 2);
}

/* Whether each query has a workgroup rather than a lane: of those that do not fill a CPU driver's vector, or
 * keep a good part of a GPU busy. */
static bool goes_by_tokens(const pm_rules *rules, const pm_attention_geometry *g)
{
    uint64_t rows = (uint64_t)g->heads * g->queries;
    if (!pm_on(rules, PM_ATTENTION_TOKENS) || g->head_width % 4 != 0) return false;
    if (rounds(rules, g)) return false; /* which that kernel does not */
    if (rules->is_cpu) return pm_on(rules, PM_SHARED_FETCHES) && rows <= rules->gemm_lanes;
    return rows * g->samples <= PM_BUSY_LANES / 4;
}

static attention_kernel token_kernel(const pm_rules *rules, const pm_attention_geometry *g)
{
    return (attention_kernel){
        .geometry = g,
        .heads = g->heads,
        .lanes = rules->is_cpu ? rules->gemm_lanes : BLOCK,
        .tile = 1,
        .tiles = g->queries,
        .block = BLOCK,
        .shows = rules->is_cpu,
        .whole_group = true,
    };
}

static void lower_samples(pm_lowering *lowering, const pm_node *node)
{
    if (pm_attention_append_matrix(lowering, node)) return;
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    if (goes_by_tokens(lowering->rules, &g)) {
        attention_kernel kernel = token_kernel(lowering->rules, &g);
        append_forward(lowering, node, &kernel, SHADER(&kernel, "attention_token"), PM_NONE, PM_NONE);
    } else {
        attention_kernel kernel = kernel_for(lowering, &g, false, true);
        append_forward(lowering, node, &kernel, SHADER(&kernel, "attention"), no_weights(lowering),
                       no_weights(lowering));
    }
}

static void lower_samples_by_weights(pm_lowering *lowering, const pm_node *node)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    attention_kernel kernel = weights_kernel(lowering, &g, BLOCK);
    pm_tensor weights = scratch_weights(lowering, &g);
    pm_tensor factors = pm_scratch(lowering, PM_DTYPE_F32, pm_count_of(lowering->graph, weights) / BLOCK);
    append_forward(lowering, node, &kernel, SHADER(&kernel, "attention"), weights, factors);
    append_product(lowering, &g, false, weights, node->in[V], factors, node->out[0]);
}

static void lower_attention(pm_lowering *lowering, const pm_node *node)
{
    enum { INPUTS = 1 << Q | 1 << K | 1 << V };
    uint32_t block = samples_by_weights(lowering, node, 1);
    if (block != 0) {
        pm_lower_by_blocks(lowering, node, INPUTS | PM_OUT_BIT(0) | PM_OUT_BIT(1), block,
                           lower_samples_by_weights);
        return;
    }
    pm_lower_by_rows(lowering, node, INPUTS | PM_OUT_BIT(0) | PM_OUT_BIT(1), PM_OUT_BIT(1), 0, lower_samples);
}

static void append_dq(pm_lowering *lowering, const pm_node *node, const attention_kernel *kernel,
                      pm_tensor deltas, pm_tensor chances, pm_tensor dscores)
{
    const pm_attention_geometry *g = kernel->geometry;
    pm_dispatch *d = begin(lowering, kernel, SHADER(kernel, "attention_dq"));
    bind_queries(d, kernel, node->in[Q]);
    bind_keys(d, kernel, node->in[K]);
    bind_keys(d, kernel, node->in[V]);
    bind_queries(d, kernel, node->in[OUT]);
    bind_queries(d, kernel, node->in[DOUT]);
    pm_bind_in(d, node->in[LOG_SUMS], 1, 0);
    pm_bind_update(d, node->out[Q], pm_attention_query_stride(g));
    pm_bind_out(d, deltas, 0);
    pm_bind_out(d, chances, 0);
    pm_bind_out(d, dscores, 0);
    end(d, kernel, kernel->weight_rows ? 2 : 3);
}

static void append_dkv(pm_lowering *lowering, const pm_node *node, pm_tensor deltas)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    attention_kernel kernel = kernel_for(lowering, &g, true, false);
    pm_dispatch *d = begin(lowering, &kernel, SHADER(&kernel, "attention_dkv"));
    bind_queries(d, &kernel, node->in[Q]);
    bind_keys(d, &kernel, node->in[K]);
    bind_keys(d, &kernel, node->in[V]);
    bind_queries(d, &kernel, node->in[DOUT]);
    pm_bind_in(d, node->in[LOG_SUMS], 1, 0);
    pm_bind_in(d, deltas, 1, 0);
    pm_bind_update(d, node->out[K], pm_attention_key_stride(&g));
    pm_bind_update(d, node->out[V], pm_attention_key_stride(&g));
    end(d, &kernel, 4);
}

static void lower_samples_backward(pm_lowering *lowering, const pm_node *node)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    pm_tensor deltas = pm_scratch(lowering, PM_DTYPE_F32, g.samples * g.heads * g.queries);
    attention_kernel kernel = kernel_for(lowering, &g, false, false);
    if (!pm_attention_append_dq_matrix(lowering, node, deltas))
        append_dq(lowering, node, &kernel, deltas, no_weights(lowering), no_weights(lowering));
    if (!pm_attention_append_dkv_matrix(lowering, node, deltas)) append_dkv(lowering, node, deltas);
}

static void lower_backward_by_weights(pm_lowering *lowering, const pm_node *node)
{
    pm_attention_geometry g = pm_attention_geometry_of(lowering->graph, node);
    attention_kernel kernel = weights_kernel(lowering, &g, WEIGHT_BLOCK);
    pm_tensor chances = scratch_weights(lowering, &g), dscores = scratch_weights(lowering, &g);
    append_dq(lowering, node, &kernel, no_weights(lowering), chances, dscores);
    append_product(lowering, &g, false, dscores, node->in[K], PM_NONE, node->out[Q]);
    append_product(lowering, &g, true, dscores, node->in[Q], PM_NONE, node->out[K]);
    append_product(lowering, &g, true, chances, node->in[DOUT], PM_NONE, node->out[V]);
}

static void lower_attention_backward(pm_lowering *lowering, const pm_node *node)
{
    enum { INPUTS = 1 << Q | 1 << K | 1 << V | 1 << OUT | 1 << LOG_SUMS | 1 << DOUT };
    enum { OUTPUTS = PM_OUT_BIT(Q) | PM_OUT_BIT(K) | PM_OUT_BIT(V) };
    uint32_t block = samples_by_weights(lowering, node, 2);
    if (block != 0) {
        pm_lower_by_blocks(lowering, node, INPUTS | OUTPUTS, block, lower_backward_by_weights);
        return;
    }
    pm_lower_by_rows(lowering, node, INPUTS | OUTPUTS, 1 << LOG_SUMS, 0, lower_samples_backward);
}

/* ---- Operators ----------------------------------------------------------------------------------------- */

const pm_op pm_op_attention_backward = {
    .name = "attention_backward",
    .shape = shape_attention_backward,
    .lower = lower_attention_backward,
    .reference = pm_attention_backward_reference,
    .rounding = pm_attention_backward_rounding,
};

static void backward_attention(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                               const bool *wants, pm_tensor *grad_in)
{
    (void)wants; /* what q, k and v need is the same work */
    if (!pm_is(grad_out[0])) return;
    if (pm_is(node->in[FIRST])) {
        pm_graph_fail(graph, PM_BAD_USAGE, "attention: with first the result cannot be differentiated");
        return;
    }
    pm_tensor in[] = {node->in[Q], node->in[K], node->in[V], node->out[0], node->out[1], grad_out[0]};
    pm_emit(graph, &pm_op_attention_backward, in, 6, node->attr, sizeof(pm_attention_attr), grad_in);
}

/* p: batch, queries, keys, heads, width of a head, mask, heads of keys (0: as many), block, first position +
 * 1 (0: none). */
static pm_tensor case_attention(pm_graph *graph, const uint32_t *p)
{
    uint32_t kv_heads = p[6] ? p[6] : p[3], position = p[8] - 1;
    pm_tensor q = pm_case_leaf(graph, "q", PM_SHAPE(p[0], p[1], p[3] * p[4]), 1.5f);
    pm_tensor k = pm_case_leaf(graph, "k", PM_SHAPE(p[0], p[2], kv_heads * p[4]), 1.5f);
    pm_tensor v = pm_case_leaf(graph, "v", PM_SHAPE(p[0], p[2], kv_heads * p[4]), 1.0f);
    pm_attention_args args = {.heads = p[3], .kv_heads = p[6], .mask = (pm_mask)p[5], .block = p[7]};
    if (p[8]) args.first = pm_constant(graph, "first", PM_DTYPE_U32, PM_SHAPE(1), &position);
    return pm_attention(graph, q, k, v, args);
}

#define CAUSAL PM_MASK_CAUSAL
#define BY_BLOCK PM_MASK_BLOCK
#define CASE(text, ...)                                             \
    {                                                               \
        .name = text, .build = case_attention, .p = { __VA_ARGS__ } \
    }
#define WIDE_CASE(text, ...)                                                              \
    {                                                                                     \
        .name = text, .build = case_attention, .p = {__VA_ARGS__}, .no_differences = true \
    }

static const pm_case cases_attention[] = {
    CASE("one block", 2, 7, 7, 2, 8),
    CASE("causal, odd head", 1, 9, 9, 2, 5, CAUSAL),
    CASE("other keys, several blocks", 1, 5, 70, 1, 4),
    CASE("causal, several blocks", 1, 67, 67, 1, 4, CAUSAL),
    CASE("causal, more keys than queries", 2, 3, 37, 1, 4, CAUSAL),
    /* The gradients of q and k are differences of sums that are equal but for the order of their terms. */
    {.name = "one query, one key", .build = case_attention, .p = {3, 1, 1, 2, 3}, .least_scale = 1.0},
    CASE("several workgroups", 3, 40, 6, 3, 4),
    CASE("wide head", 1, 2, 3, 1, 128),
    CASE("blocks of 4", 2, 11, 14, 2, 4, BY_BLOCK, 0, 4),
    CASE("blocks of 5, more keys, odd head", 1, 7, 41, 1, 3, BY_BLOCK, 0, 5),
    CASE("blocks of 40, several of ours", 1, 70, 70, 1, 4, BY_BLOCK, 0, 40),
    CASE("a block larger than all", 1, 6, 9, 1, 4, BY_BLOCK, 0, 100),
    CASE("grouped heads", 2, 7, 9, 4, 4, PM_MASK_NONE, 2),
    CASE("grouped heads, causal, odd head", 1, 37, 37, 6, 3, CAUSAL, 2),
    CASE("one head of keys, blocks", 2, 6, 10, 3, 4, BY_BLOCK, 1, 3),
    CASE("grouped heads, several blocks, more keys", 2, 37, 75, 4, 20, CAUSAL, 2),
    CASE("grouped heads, several samples", 3, 48, 72, 4, 16, CAUSAL, 1),
    CASE("grouped heads, blocks of 24", 2, 50, 53, 4, 8, BY_BLOCK, 2, 24),
    /* Of widths that matrix units have kernels for, in precision fast. */
    WIDE_CASE("heads of 32", 2, 41, 41, 2, 32),
    WIDE_CASE("heads of 32, causal, several blocks", 1, 139, 139, 1, 32, CAUSAL),
    WIDE_CASE("heads of 32, blocks of 24, grouped", 2, 50, 83, 4, 32, BY_BLOCK, 2, 24),
    WIDE_CASE("heads of 64", 1, 70, 33, 2, 64),
    WIDE_CASE("heads of 64, causal, grouped, more keys", 1, 37, 105, 4, 64, CAUSAL, 2),
    WIDE_CASE("heads of 64, blocks of 5", 2, 21, 68, 1, 64, BY_BLOCK, 0, 5),
    WIDE_CASE("heads of 128, causal", 1, 75, 75, 1, 128, CAUSAL),
    WIDE_CASE("heads of 128, one head of keys", 1, 35, 19, 3, 128, PM_MASK_NONE, 1),
    {.name = "first", .build = case_attention, .p = {2, 3, 50, 2, 4, CAUSAL, 0, 0, 36}, .no_gradient = true},
    {.name = "first is 0, grouped heads, odd head",
     .build = case_attention,
     .p = {2, 1, 9, 4, 3, CAUSAL, 2, 0, 1},
     .no_gradient = true},
    {.name = "first, past the end",
     .build = case_attention,
     .p = {1, 5, 40, 1, 4, CAUSAL, 0, 0, 39},
     .no_gradient = true},
    {.name = "causal, large", .build = case_attention, .p = {2, 256, 256, 2, 64, CAUSAL}, .large = true},
    {.name = "all to all, large", .build = case_attention, .p = {2, 197, 197, 3, 32}, .large = true},
    {.name = "7x7 of a U-Net", .build = case_attention, .p = {32, 49, 49, 1, 64}, .bench = true},
    {.name = "causal, 16x256", .build = case_attention, .p = {16, 256, 256, 4, 64, CAUSAL}, .bench = true},
    {.name = "causal, 16x256, heads of 32",
     .build = case_attention,
     .p = {16, 256, 256, 4, 32, CAUSAL},
     .bench = true},
    {.name = "grouped heads, 16x256",
     .build = case_attention,
     .p = {16, 256, 256, 4, 64, CAUSAL, 1},
     .bench = true},
    {.name = "blocks of 16, 16x256",
     .build = case_attention,
     .p = {16, 256, 256, 4, 64, BY_BLOCK, 0, 16},
     .bench = true},
    {.name = "one token, cache of 256",
     .build = case_attention,
     .p = {16, 1, 256, 4, 64, CAUSAL, 0, 0, 256},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_attention = {
    .name = "attention",
    .shape = shape_attention,
    .backward = backward_attention,
    .lower = lower_attention,
    .reference = pm_attention_reference,
    .rounding = pm_attention_rounding,
    PM_CASES(cases_attention),
};

pm_tensor pm_attention(pm_graph *graph, pm_tensor q, pm_tensor k, pm_tensor v, pm_attention_args args)
{
    pm_attention_attr attr = {args.heads, args.kv_heads ? args.kv_heads : args.heads, args.mask, args.block};
    pm_tensor in[] = {q, k, v, args.first};
    return pm_emit(graph, &pm_op_attention, in, 4, &attr, sizeof attr, NULL);
}
