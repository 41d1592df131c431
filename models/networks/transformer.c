/* The transformer; see transformer.h. */
#include "networks/transformer.h"

#include "graph/graph.h"
#include "networks/layers.h"

#include <math.h>
#include <stdio.h>

#define EPS 1e-5f
#define DROPOUT_STREAM 0x2000u /* one stream per dropout follows */
#define TIME_LEVELS 1000u      /* rows of the sinusoidal table that a time in [0,1] is looked up in */
#define TIME_WIDTH 64u

typedef struct transformer {
    pm_graph *graph;
    const pm_transformer_config *config;
    pm_transformer_inputs inputs;
    uint32_t batch, length, kv_heads, head_width, dropouts;
    pm_tensor rope; /* the table of rotary positions, or PM_NONE */
    pm_tensor time; /* SiLU of its embedding, [B,1,width] or [B,T,width]; or PM_NONE */
} transformer;

static bool valid(pm_graph *graph, const pm_transformer_config *c, pm_shape tokens, bool cached)
{
    const char *wrong = NULL;
    uint32_t kv_heads = c->kv_heads ? c->kv_heads : c->heads;
    if (!c->vocabulary || !c->context) wrong = "a vocabulary and a context of at least one token";
    if (!wrong && (c->layers < 1 || c->layers > PM_TRANSFORMER_LAYERS)) wrong = "layers: from 1 to 64";
    if (!wrong && (!c->heads || !c->width || c->width % c->heads)) wrong = "heads must divide the width";
    if (!wrong && c->heads % kv_heads) wrong = "kv_heads must divide the heads";
    if (!wrong && c->positions != PM_POSITIONS_LEARNED && (c->width / c->heads) % 2)
        wrong = "rotary positions need an even width of a head";
    if (!wrong && (tokens.rank != 2 || tokens.dim[1] > c->context))
        wrong = "tokens must be [batch, length], with no more of them than the context has positions";
    if (!wrong && cached && c->mask != PM_MASK_CAUSAL) wrong = "only a causal network can use a cache";
    if (!wrong && cached && c->positions == PM_POSITIONS_LEARNED && tokens.dim[1] != 1)
        wrong = "with learned positions, one token at a time is appended to a cache";
    if (wrong) pm_graph_fail(graph, PM_BAD_USAGE, "transformer: %s", wrong);
    return !wrong;
}

static uint32_t kv_width(const pm_transformer_config *c)
{
    return (c->kv_heads ? c->kv_heads : c->heads) * (c->width / c->heads);
}

void pm_kv_cache_declare(pm_graph *graph, const pm_transformer_config *config, uint32_t batch,
                         pm_kv_cache *cache)
{
    *cache = (pm_kv_cache){0};
    pm_shape shape = PM_SHAPE(batch, config->context, kv_width(config));
    for (uint32_t i = 0; i < config->layers && i < PM_TRANSFORMER_LAYERS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "cache.k.%u", i);
        cache->keys[i] = pm_state(graph, name, PM_DTYPE_F32, shape);
        (void)snprintf(name, sizeof name, "cache.v.%u", i);
        cache->values[i] = pm_state(graph, name, PM_DTYPE_F32, shape);
    }
    cache->position = pm_state(graph, "cache.position", PM_DTYPE_U32, PM_SHAPE(4));
}

/* ---- Layers -------------------------------------------------------------------------------------------- */

/* Weights N(0, gain^2 / in): the variance of what comes in is kept, times gain^2. */
static pm_tensor linear(transformer *t, const char *name, pm_tensor x, uint32_t out, float gain,
                        pm_tensor residual)
{
    pm_shape shape = pm_shape_of(t->graph, x);
    uint32_t in = shape.rank ? shape.dim[shape.rank - 1] : 1;
    pm_init init = {gain > 0.0f ? PM_INIT_NORMAL : PM_INIT_ZERO, gain / sqrtf((float)in)};
    pm_scope_push(t->graph, name);
    pm_tensor weight = pm_param(t->graph, "weight", PM_SHAPE(in, out), init);
    pm_tensor bias = pm_param(t->graph, "bias", PM_SHAPE(out), (pm_init){PM_INIT_ZERO, 0.0f});
    pm_scope_pop(t->graph);
    return pm_linear(t->graph, x, weight, bias, residual);
}

static pm_tensor dropout(transformer *t, pm_tensor x)
{
    if (t->config->dropout <= 0.0f || !pm_is(t->inputs.counter)) return x;
    return pm_dropout(t->graph, x, t->config->dropout, t->inputs.counter, DROPOUT_STREAM + t->dropouts++);
}

/* Part i of the n equal parts of `modulation` along its last axis, for each position. */
static pm_tensor modulation_part(transformer *t, pm_tensor modulation, uint32_t i)
{
    uint32_t width = t->config->width;
    pm_tensor part = pm_slice(t->graph, modulation, 2, i * width, (i + 1) * width);
    return pm_broadcast(t->graph, part, PM_SHAPE(t->batch, t->length, width));
}

static pm_tensor norm(transformer *t, const char *name, pm_tensor x, pm_tensor scale, pm_tensor shift)
{
    pm_shape width = PM_SHAPE(t->config->width);
    bool rms = t->config->norm == PM_RMS_NORM;
    pm_scope_push(t->graph, name);
    pm_norm_args args = {
        .gamma = pm_param(t->graph, "weight", width, (pm_init){PM_INIT_ONE, 0.0f}),
        .scale = scale,
        .shift = shift,
        .eps = EPS,
        .rms = rms,
    };
    if (!rms) args.beta = pm_param(t->graph, "bias", width, (pm_init){PM_INIT_ZERO, 0.0f});
    pm_scope_pop(t->graph);
    return pm_layer_norm(t->graph, x, args);
}

static pm_tensor turned(transformer *t, pm_tensor x, uint32_t heads)
{
    if (!pm_is(t->rope)) return x;
    pm_rope_pairs pairs =
        t->config->positions == PM_POSITIONS_ROPE_INTERLEAVED ? PM_ROPE_NEIGHBOURS : PM_ROPE_HALVES;
    pm_kv_cache *cache = t->inputs.cache;
    pm_tensor first = PM_NONE;
    if (cache && pm_is(cache->position)) first = pm_view(t->graph, cache->position, 0, PM_SHAPE(1));
    return pm_rope(t->graph, x, t->rope, heads, pairs, first);
}

static pm_tensor attend(transformer *t, pm_tensor x, uint32_t layer)
{
    pm_graph *graph = t->graph;
    const pm_transformer_config *c = t->config;
    pm_kv_cache *cache = t->inputs.cache;
    pm_tensor q = turned(t, linear(t, "q", x, c->width, 1.0f, PM_NONE), c->heads);
    pm_tensor k = turned(t, linear(t, "k", x, kv_width(c), 1.0f, PM_NONE), t->kv_heads);
    pm_tensor v = linear(t, "v", x, kv_width(c), 1.0f, PM_NONE);
    pm_attention_args args = {.heads = c->heads, .kv_heads = t->kv_heads, .mask = c->mask, .block = c->block};
    if (cache && pm_is(cache->position)) {
        args.first = pm_view(graph, cache->position, 0, PM_SHAPE(1));
        k = pm_cache_write(graph, cache->keys[layer], k, args.first);
        v = pm_cache_write(graph, cache->values[layer], v, args.first);
    } else if (cache) {
        pm_output(graph, k);
        pm_output(graph, v);
        cache->keys[layer] = k;
        cache->values[layer] = v;
    }
    return pm_attention(graph, q, k, v, args);
}

static uint32_t hidden_width(const pm_transformer_config *c)
{
    if (c->hidden) return c->hidden;
    /* A gate makes three matrices of two; 8/3 keeps their size, here in whole vec4s. */
    return c->mlp == PM_MLP_SWIGLU ? (c->width * 8 / 3 + 3) / 4 * 4 : 4 * c->width;
}

/* The MLP up to its last matrix. */
static pm_tensor mlp_hidden(transformer *t, pm_tensor x)
{
    uint32_t hidden = hidden_width(t->config);
    pm_tensor up = linear(t, "up", x, hidden, 1.0f, PM_NONE);
    if (t->config->mlp == PM_MLP_GELU) return pm_gelu(t->graph, up);
    pm_tensor gate = linear(t, "gate", x, hidden, 1.0f, PM_NONE);
    return pm_silu_mul(t->graph, gate, up);
}

/* x + gate * branch(h), where the branch ends with a matrix `name` that starts small enough for the sum over
 * all layers to keep its scale (GPT-2). Without gate and dropout the matrix adds x itself. */
static pm_tensor add_branch(transformer *t, const char *name, pm_tensor x, pm_tensor h, pm_tensor gate)
{
    float gain = 1.0f / sqrtf(2.0f * (float)t->config->layers);
    bool dropped = t->config->dropout > 0.0f && pm_is(t->inputs.counter);
    if (!pm_is(gate) && !dropped) return linear(t, name, h, t->config->width, gain, x);
    pm_tensor y = dropout(t, linear(t, name, h, t->config->width, gain, PM_NONE));
    if (pm_is(gate)) y = pm_mul(t->graph, y, gate);
    return pm_add(t->graph, x, y);
}

static pm_tensor block(transformer *t, pm_tensor x, uint32_t layer)
{
    enum { SHIFT_1, SCALE_1, GATE_1, SHIFT_2, SCALE_2, GATE_2, PARTS };
    pm_tensor part[PARTS] = {PM_NONE};
    char name[32];
    (void)snprintf(name, sizeof name, "blocks.%u", layer);
    pm_scope_push(t->graph, name);
    if (pm_is(t->time)) { /* adaLN-zero: each branch starts closed */
        pm_tensor all = linear(t, "adaln", t->time, PARTS * t->config->width, 0.0f, PM_NONE);
        for (uint32_t i = 0; i < PARTS; i++) part[i] = modulation_part(t, all, i);
    }
    pm_tensor h = attend(t, norm(t, "norm1", x, part[SCALE_1], part[SHIFT_1]), layer);
    x = add_branch(t, "out", x, h, part[GATE_1]);
    h = mlp_hidden(t, norm(t, "norm2", x, part[SCALE_2], part[SHIFT_2]));
    x = add_branch(t, "down", x, h, part[GATE_2]);
    pm_scope_pop(t->graph);
    return x;
}

/* ---- Beginning and end --------------------------------------------------------------------------------- */

static pm_tensor embedding_table(pm_graph *graph, const pm_transformer_config *c)
{
    pm_tensor known = pm_find(graph, "embedding.weight");
    if (pm_is(known)) return known;
    pm_scope_push(graph, "embedding");
    pm_tensor table =
        pm_param(graph, "weight", PM_SHAPE(c->vocabulary + 1, c->width), (pm_init){PM_INIT_NORMAL, 0.02f});
    pm_scope_pop(graph);
    return table;
}

/* Position p is row p; a cached pass has one token, whose row is known only at run time. */
static pm_tensor add_positions(transformer *t, pm_tensor x)
{
    const pm_transformer_config *c = t->config;
    pm_kv_cache *cache = t->inputs.cache;
    pm_scope_push(t->graph, "positions");
    pm_tensor table =
        pm_param(t->graph, "weight", PM_SHAPE(c->context, c->width), (pm_init){PM_INIT_NORMAL, 0.02f});
    pm_scope_pop(t->graph);
    pm_tensor rows;
    if (cache && pm_is(cache->position)) {
        rows = pm_embedding(t->graph, table, pm_view(t->graph, cache->position, 0, PM_SHAPE(1)));
    } else {
        rows = pm_slice(t->graph, table, 0, 0, t->length);
    }
    return pm_add(t->graph, x, rows);
}

/* Sinusoidal embedding of the time -> linear -> SiLU -> linear -> SiLU, [B,1,width] or [B,T,width]. */
static pm_tensor embed_time(transformer *t)
{
    pm_graph *graph = t->graph;
    pm_shape shape = pm_shape_of(graph, t->inputs.time);
    if (!pm_is(t->inputs.time) || shape.dim[0] != t->batch ||
        (shape.rank == 2 && shape.dim[1] != t->length)) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "transformer: it is conditioned on the time, which must be f32 [B] or [B,T]");
        return PM_NONE;
    }
    pm_tensor table = pm_timestep_table(graph, "time_table", TIME_LEVELS, TIME_WIDTH);
    pm_tensor e = pm_embedding(graph, table, pm_quantize(graph, t->inputs.time, TIME_LEVELS));
    e = pm_reshape(graph, e, PM_SHAPE(t->batch, shape.rank == 2 ? t->length : 1, TIME_WIDTH));
    pm_scope_push(graph, "time");
    e = pm_silu(graph, linear(t, "linear_1", e, t->config->width, 1.0f, PM_NONE));
    e = pm_silu(graph, linear(t, "linear_2", e, t->config->width, 1.0f, PM_NONE));
    pm_scope_pop(graph);
    return e;
}

static pm_tensor last_norm(transformer *t, pm_tensor x)
{
    pm_tensor scale = PM_NONE, shift = PM_NONE;
    if (pm_is(t->time)) {
        pm_scope_push(t->graph, "last");
        pm_tensor both = linear(t, "adaln", t->time, 2 * t->config->width, 0.0f, PM_NONE);
        pm_scope_pop(t->graph);
        shift = modulation_part(t, both, 0);
        scale = modulation_part(t, both, 1);
    }
    return norm(t, "norm", x, scale, shift);
}

pm_tensor pm_transformer(pm_graph *graph, const pm_transformer_config *config, pm_tensor tokens,
                         pm_transformer_inputs inputs)
{
    pm_shape shape = pm_shape_of(graph, tokens);
    bool cached = inputs.cache && pm_is(inputs.cache->position);
    if (!pm_ok(graph) || !valid(graph, config, shape, cached)) return PM_NONE;
    transformer t = {
        .graph = graph,
        .config = config,
        .inputs = inputs,
        .batch = shape.dim[0],
        .length = shape.dim[1],
        .kv_heads = config->kv_heads ? config->kv_heads : config->heads,
        .head_width = config->width / config->heads,
    };
    pm_tensor x = pm_embedding(graph, embedding_table(graph, config), tokens);
    if (config->positions == PM_POSITIONS_LEARNED) {
        x = add_positions(&t, x);
    } else {
        t.rope = pm_find(graph, "rope_table");
        if (!pm_is(t.rope))
            t.rope = pm_rope_table(graph, "rope_table", config->context, t.head_width, config->theta);
    }
    if (config->time) t.time = embed_time(&t);
    x = dropout(&t, x);
    pm_boundary(graph);
    for (uint32_t i = 0; i < config->layers; i++) {
        x = block(&t, x, i);
        pm_boundary(graph);
    }
    return last_norm(&t, x);
}

/* ---- The head ------------------------------------------------------------------------------------------ */

pm_tensor pm_transformer_head(pm_graph *graph, const pm_transformer_config *config, pm_layout *layout)
{
    *layout = config->tied ? PM_ABT : PM_AB;
    if (config->tied) return embedding_table(graph, config);
    pm_tensor known = pm_find(graph, "head.weight");
    if (pm_is(known)) return known;
    pm_scope_push(graph, "head");
    pm_tensor weight =
        pm_param(graph, "weight", PM_SHAPE(config->width, config->vocabulary), (pm_init){PM_INIT_ZERO, 0.0f});
    pm_scope_pop(graph);
    return weight;
}

/* Features as rows [B*T,width]. */
static pm_tensor rows_of(pm_graph *graph, pm_tensor features, uint32_t *rows)
{
    pm_shape shape = pm_shape_of(graph, features);
    *rows = shape.dim[0] * shape.dim[1];
    return pm_reshape(graph, features, PM_SHAPE(*rows, shape.dim[2]));
}

pm_tensor pm_transformer_logits(pm_graph *graph, const pm_transformer_config *config, pm_tensor features)
{
    if (!pm_ok(graph)) return PM_NONE;
    pm_layout layout;
    uint32_t rows;
    pm_shape shape = pm_shape_of(graph, features);
    pm_tensor weight = pm_transformer_head(graph, config, &layout), x = rows_of(graph, features, &rows);
    if (config->tied) weight = pm_slice(graph, weight, 0, 0, config->vocabulary);
    pm_tensor logits = pm_matmul(graph, x, weight, layout, PM_NONE, PM_NONE);
    return pm_reshape(graph, logits, PM_SHAPE(shape.dim[0], shape.dim[1], config->vocabulary));
}

pm_tensor pm_transformer_loss(pm_graph *graph, const pm_transformer_config *config, pm_tensor features,
                              pm_tensor labels, pm_tensor row_weight)
{
    if (!pm_ok(graph)) return PM_NONE;
    uint32_t rows;
    pm_tensor x = rows_of(graph, features, &rows);
    labels = pm_reshape(graph, labels, PM_SHAPE(rows));
    pm_layout layout;
    pm_tensor weight = pm_transformer_head(graph, config, &layout);
    return pm_head_loss(graph, x, weight, layout, config->vocabulary, PM_NONE, labels, row_weight);
}
