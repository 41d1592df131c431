/* DDPM's U-Net; see unet.h. */
#include "networks/unet.h"

#include "networks/layers.h"

#include <stdio.h>

#define EPS 1e-6f
#define DROPOUT_STREAM 0x1000u /* one stream per residual block follows */
#define MAX_SKIPS 64

typedef struct unet {
    pm_graph *graph;
    const pm_unet_config *config;
    pm_tensor embedding; /* SiLU of timestep and class embedding, [B, 4 base] */
    pm_tensor counter;
    uint32_t dropouts;
    pm_tensor skips[MAX_SKIPS];
    uint32_t n_skips;
} unet;

static void push_indexed(pm_graph *graph, const char *name, uint32_t index)
{
    char text[48];
    (void)snprintf(text, sizeof text, "%s.%u", name, index);
    pm_scope_push(graph, text);
}

static bool valid(pm_graph *graph, const pm_unet_config *c)
{
    uint32_t step = 1u << (c->levels ? c->levels - 1 : 0);
    const char *wrong = NULL;
    if (c->levels < 1 || c->levels > PM_UNET_LEVELS) wrong = "multipliers: between 1 and 6 levels";
    if (!wrong && (c->height % step || c->width % step)) {
        wrong = "multipliers: height and width must halve evenly from level to level; use fewer levels";
    }
    if (!wrong && (!c->base || c->base % 2)) wrong = "base: an even number of channels";
    if (!wrong && (!c->blocks || (c->blocks + 2) * c->levels > MAX_SKIPS)) wrong = "blocks: between 1 and 8";
    for (uint32_t i = 0; !wrong && i < c->levels; i++) {
        uint32_t channels = c->base * c->multipliers[i];
        if (!channels || !c->groups || channels % c->groups)
            wrong = "groups must divide the channels of every level";
        if (!wrong && (!c->heads || channels % c->heads))
            wrong = "heads must divide the channels of every level";
    }
    if (wrong) pm_graph_fail(graph, PM_BAD_USAGE, "unet: %s", wrong);
    return !wrong;
}

/* Sinusoidal embedding -> linear -> SiLU -> linear, + class embedding; then the SiLU that every block would
 * apply. */
static pm_tensor embed(unet *u, pm_tensor timestep, pm_tensor label)
{
    pm_graph *graph = u->graph;
    uint32_t width = 4 * u->config->base;
    pm_tensor table = pm_timestep_table(graph, "timestep_table", u->config->timesteps, u->config->base);
    pm_tensor e = pm_embedding(graph, table, timestep);
    pm_scope_push(graph, "time_embedding");
    e = pm_silu(graph, pm_layer_linear(graph, "linear_1", e, width, 1.0f, PM_NONE));
    e = pm_layer_linear(graph, "linear_2", e, width, 1.0f, PM_NONE);
    pm_scope_pop(graph);
    if (u->config->classes) {
        pm_scope_push(graph, "class_embedding");
        pm_tensor classes = pm_param(graph, "weight", PM_SHAPE(u->config->classes + 1, width),
                                     (pm_init){PM_INIT_NORMAL, 0.5f});
        pm_scope_pop(graph);
        e = pm_add(graph, e, pm_embedding(graph, classes, label));
    }
    return pm_silu(graph, e);
}

/* A block begins here, and the one before ends: what is computed again at a time (pm_recompute). */
static pm_tensor residual_block(unet *u, pm_tensor x, uint32_t channels)
{
    pm_graph *graph = u->graph;
    pm_boundary(graph);
    const pm_unet_config *c = u->config;
    pm_conv2d_args first = pm_same_padding(3), second = pm_same_padding(3);
    pm_tensor h = pm_layer_group_norm(graph, "norm1", x, c->groups, EPS, true);
    first.per_sample = pm_layer_linear(graph, "time_emb_proj", u->embedding, channels, 1.0f, PM_NONE);
    h = pm_layer_conv(graph, "conv1", h, 3, channels, 1.0f, first);
    h = pm_layer_group_norm(graph, "norm2", h, c->groups, EPS, true);
    if (c->dropout > 0.0f && u->counter.id) {
        h = pm_dropout(graph, h, c->dropout, u->counter, DROPOUT_STREAM + u->dropouts++);
    }
    bool same = pm_shape_of(graph, x).dim[3] == channels;
    second.residual =
        same ? x : pm_layer_conv(graph, "conv_shortcut", x, 1, channels, 1.0f, pm_same_padding(1));
    return pm_layer_conv(graph, "conv2", h, 3, channels, 0.0f, second);
}

static pm_tensor attention_block(unet *u, pm_tensor x)
{
    pm_graph *graph = u->graph;
    pm_shape s = pm_shape_of(graph, x);
    pm_shape tokens = PM_SHAPE(s.dim[0], s.dim[1] * s.dim[2], s.dim[3]);
    pm_tensor h = pm_layer_group_norm(graph, "group_norm", x, u->config->groups, EPS, false);
    h = pm_reshape(graph, h, tokens);
    pm_tensor q = pm_layer_linear(graph, "to_q", h, s.dim[3], 1.0f, PM_NONE);
    pm_tensor k = pm_layer_linear(graph, "to_k", h, s.dim[3], 1.0f, PM_NONE);
    pm_tensor v = pm_layer_linear(graph, "to_v", h, s.dim[3], 1.0f, PM_NONE);
    h = pm_attention(graph, q, k, v, (pm_attention_args){.heads = u->config->heads});
    h = pm_layer_linear(graph, "to_out.0", h, s.dim[3], 0.0f, pm_reshape(graph, x, tokens));
    return pm_reshape(graph, h, s);
}

static bool attends(const pm_unet_config *c, uint32_t height)
{
    for (uint32_t i = 0; i < c->n_attention; i++) {
        if (c->attention[i] == height) return true;
    }
    return false;
}

static pm_tensor block(unet *u, pm_tensor h, uint32_t index, uint32_t channels)
{
    push_indexed(u->graph, "resnets", index);
    h = residual_block(u, h, channels);
    pm_scope_pop(u->graph);
    if (attends(u->config, pm_shape_of(u->graph, h).dim[1])) {
        push_indexed(u->graph, "attentions", index);
        h = attention_block(u, h);
        pm_scope_pop(u->graph);
    }
    return h;
}

static pm_tensor down(unet *u, pm_tensor h)
{
    const pm_unet_config *c = u->config;
    /* Stride 2 with one row and column of zeros at the end only, as the original pads. */
    pm_conv2d_args halve = {.stride = 2, .pad_bottom = 1, .pad_right = 1};
    for (uint32_t level = 0; level < c->levels; level++) {
        uint32_t channels = c->base * c->multipliers[level];
        push_indexed(u->graph, "down_blocks", level);
        for (uint32_t i = 0; i < c->blocks; i++) {
            h = block(u, h, i, channels);
            u->skips[u->n_skips++] = h;
        }
        if (level + 1 < c->levels) {
            h = pm_layer_conv(u->graph, "downsamplers.0.conv", h, 3, channels, 1.0f, halve);
            u->skips[u->n_skips++] = h;
        }
        pm_scope_pop(u->graph);
    }
    return h;
}

static pm_tensor middle(unet *u, pm_tensor h)
{
    uint32_t channels = pm_shape_of(u->graph, h).dim[3];
    pm_scope_push(u->graph, "mid_block");
    pm_scope_push(u->graph, "resnets.0");
    h = residual_block(u, h, channels);
    pm_scope_pop(u->graph);
    pm_scope_push(u->graph, "attentions.0");
    h = attention_block(u, h);
    pm_scope_pop(u->graph);
    pm_scope_push(u->graph, "resnets.1");
    h = residual_block(u, h, channels);
    pm_scope_pop(u->graph);
    pm_scope_pop(u->graph);
    return h;
}

static pm_tensor up(unet *u, pm_tensor h)
{
    const pm_unet_config *c = u->config;
    for (uint32_t n = 0; n < c->levels; n++) {
        uint32_t level = c->levels - 1 - n, channels = c->base * c->multipliers[level];
        push_indexed(u->graph, "up_blocks", n);
        for (uint32_t i = 0; i <= c->blocks; i++) {
            h = pm_concat(u->graph, h, u->skips[--u->n_skips], 3);
            h = block(u, h, i, channels);
        }
        if (level > 0) {
            h = pm_upsample_nearest(u->graph, h, 2);
            h = pm_layer_conv(u->graph, "upsamplers.0.conv", h, 3, channels, 1.0f, pm_same_padding(3));
        }
        pm_scope_pop(u->graph);
    }
    return h;
}

pm_tensor pm_unet(pm_graph *graph, const pm_unet_config *config, pm_tensor x, pm_tensor timestep,
                  pm_tensor label, pm_tensor counter)
{
    unet u = {.graph = graph, .config = config, .counter = counter};
    if (!valid(graph, config)) return PM_NONE;
    u.embedding = embed(&u, timestep, label);
    pm_tensor h = pm_layer_conv(graph, "conv_in", x, 3, config->base, 1.0f, pm_same_padding(3));
    u.skips[u.n_skips++] = h;
    h = up(&u, middle(&u, down(&u, h)));
    pm_boundary(graph);
    h = pm_layer_group_norm(graph, "conv_norm_out", h, config->groups, EPS, true);
    return pm_layer_conv(graph, "conv_out", h, 3, config->channels, 0.0f, pm_same_padding(3));
}
