/* Text from left to right: a pass over what is given (the prompt), then one token at a time into a cache of
 * keys and values. Every token is drawn on the device; the host reads tokens and never logits. */
#ifndef PM_SAMPLING_AUTOREGRESSIVE_SAMPLER_H
#define PM_SAMPLING_AUTOREGRESSIVE_SAMPLER_H

#include "networks/transformer.h"

typedef struct pm_ar_options {
    uint32_t batch;  /* texts at once, all of the same prompt */
    uint32_t length; /* most tokens to add */
    uint64_t seed;
    uint32_t first; /* number of the first text: what it gets depends on (seed, number) alone */
    pm_draw_args draw;
    pm_precision precision;
    /* Writes the parameters of a graph into a plan of it; called for each plan before it runs. */
    pm_status (*load)(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error);
    /* The next token of each text [batch]; returning false ends with PM_OK. */
    bool (*token)(void *user, uint32_t index, const uint32_t *tokens);
    void *user;
} pm_ar_options;

/* How long it took, waiting for the device included; planning is not. */
typedef struct pm_ar_timing {
    double prompt_seconds, decode_seconds;
    uint32_t prompt_tokens, decoded_tokens; /* of one text */
} pm_ar_timing;

/* Goes on from prompt u32 [n] (n may be 0). When the context is full its later half is read again as a new
 * beginning. `timing` may be NULL. Fails with PM_BAD_USAGE when a token of the prompt is not below the
 * vocabulary, and as pm_plan_create and pm_plan_run do. */
pm_status pm_autoregressive_sample(pm_device *device, const pm_transformer_config *config,
                                   const pm_ar_options *options, const uint32_t *prompt, uint32_t n,
                                   pm_ar_timing *timing, pm_error *error);

#endif
