/* The transformer (1706.03762, in the pre-norm form of GPT-2), as one network with choices: what a query
 * sees, how positions are told, which norm and which MLP, how many key and value heads, and whether blocks
 * are modulated by the time of a diffusion process (adaLN, 2212.09748), for a whole sample or token by token.
 */
#ifndef PM_NETWORKS_TRANSFORMER_H
#define PM_NETWORKS_TRANSFORMER_H

#include "pumice.h"

#define PM_TRANSFORMER_LAYERS 64

typedef enum pm_positions {
    PM_POSITIONS_ROPE,             /* rotary, channel i with i + D/2 */
    PM_POSITIONS_ROPE_INTERLEAVED, /* rotary, channel 2i with 2i + 1 */
    PM_POSITIONS_LEARNED,
} pm_positions;

typedef enum pm_norm_kind { PM_LAYER_NORM, PM_RMS_NORM } pm_norm_kind;
typedef enum pm_mlp_kind { PM_MLP_GELU, PM_MLP_SWIGLU } pm_mlp_kind;

typedef struct pm_transformer_config {
    /* V tokens of the tokenizer. The embedding has one row more: token V, the beginning of an autoregressive
     * text or the mask of a masked one. Logits are over the V alone. */
    uint32_t vocabulary;
    uint32_t context; /* most positions */
    uint32_t width, layers, heads;
    uint32_t kv_heads; /* 0: as many as heads */
    uint32_t hidden;   /* width inside the MLP; 0: 4 width, or 8/3 width with SwiGLU (2002.05202) */
    pm_mask mask;      /* PM_MASK_BLOCK is of one stream of tokens; no process in this build trains with it */
    uint32_t block;    /* of PM_MASK_BLOCK */
    pm_positions positions;
    float theta; /* of rotary positions */
    pm_norm_kind norm;
    pm_mlp_kind mlp;
    bool tied;     /* the head is the embedding table */
    bool time;     /* adaLN, with scale, shift and gate of each block from the time */
    float dropout; /* of the embedding and of each branch, while training */
} pm_transformer_config;

/* Keys and values per layer, [B,T,G*D], rotated where positions are rotary. Two uses: with `position`, states
 * of what was read before, to which a pass appends its tokens; without it (PM_NONE), a pass over whole texts
 * puts its own there, as outputs, for a cache to be filled from. */
typedef struct pm_kv_cache {
    pm_tensor keys[PM_TRANSFORMER_LAYERS], values[PM_TRANSFORMER_LAYERS];
    pm_tensor position; /* u32 [4], a state that pm_advance can count up: [0] is where the first token goes */
} pm_kv_cache;

/* Declares the states of a cache of config->context positions, "cache.k.LAYER", "cache.v.LAYER" and
 * "cache.position". */
void pm_kv_cache_declare(pm_graph *graph, const pm_transformer_config *config, uint32_t batch,
                         pm_kv_cache *cache);

/* What the network is told beside the tokens; everything may be absent. */
typedef struct pm_transformer_inputs {
    pm_tensor time;     /* f32 [B] or [B,T], in [0,1]; needed when config.time */
    pm_kv_cache *cache; /* of a causal network */
    pm_tensor counter;  /* switches dropout on */
} pm_transformer_inputs;

/* Features [B,T,width] of tokens u32 [B,T], after the last norm. A configuration that does not fit puts the
 * graph in its error state. */
pm_tensor pm_transformer(pm_graph *graph, const pm_transformer_config *config, pm_tensor tokens,
                         pm_transformer_inputs inputs);

/* The head: its weight, and how it multiplies features: [width,V] with PM_AB, or [V+1,width] with PM_ABT, the
 * embedding table. */
pm_tensor pm_transformer_head(pm_graph *graph, const pm_transformer_config *config, pm_layout *layout);

/* Logits [B,T,V] of features. */
pm_tensor pm_transformer_logits(pm_graph *graph, const pm_transformer_config *config, pm_tensor features);

/* Mean over the rows of row_weight * -log p(label), by pm_head_loss: logits and their gradient are never kept
 * both. */
pm_tensor pm_transformer_loss(pm_graph *graph, const pm_transformer_config *config, pm_tensor features,
                              pm_tensor labels, pm_tensor row_weight);

#endif
