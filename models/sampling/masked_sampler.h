/* Generating with the masked process: from a canvas of tokens and masks to one without masks, all on the
 * device. One step (network, draw, reveal) is recorded once and replayed; which positions a step may reveal,
 * and how many, are tables that the host computes from the canvas beforehand. Logits never leave the device.
 *
 * What is known stands in the canvas: a prompt, a suffix, or anything in between; with a network that gives
 * exact conditionals that is exact conditioning (and with a uniform instead of a masked process it would not
 * be). */
#ifndef PM_SAMPLING_MASKED_SAMPLER_H
#define PM_SAMPLING_MASKED_SAMPLER_H

#include "processes/masked.h"

/* The samplers. With exact conditionals, those marked "exact" draw from the model's own law when they reveal
 * one token a step; the others never do, or (ancestral) in the limit of many steps.
 *
 *   ancestral       each masked token by itself, with the probability of the reverse process from t to s < t,
 *                   (alpha_s - alpha_t) / (1 - alpha_t); all that is left in the last step (2107.03006,
 *                   2406.07524)
 *   cached          the same tokens bit for bit, without the passes of steps that reveal nothing (the host
 *                   draws the same random numbers): of T steps about T (1 - (1 - 1/T)^L) for one sample; a
 *                   step is left out only if no sample of the batch needs it. For a network without time
 *   first-hitting   one token a step, at random, at the time at which it would appear (2409.02908); exact
 *   any-order       a random order, drawn beforehand from seed and sample (2406.03736); exact
 *   left-to-right   that order; exact
 *   random          random positions (LLaDA's "random"); exact
 *   low-confidence  draws all, keeps those whose drawn token is most probable (2502.09992, MaskGIT
 *                   2202.04200). Biased even with a perfect network: likely tokens get there first
 *   entropy, margin, max-prob   positions of the surest distribution first (Dream, 2508.15487); exact
 *   threshold       low-confidence, and all whose drawn token has at least probability `threshold`
 *                   (Fast-dLLM, 2505.22618); takes as many steps as it needs
 *
 * How sure a row is counts after temperature and cuts (LLaDA's own code looks at temperature 1). */
typedef struct pm_masked_sampling {
    const char *sampler; /* NULL: "ancestral" */
    /* Steps in all, shared out evenly among blocks, each of which has at least one. 0: as many as there are
     * positions, or as tokens_per_step says. Of first-hitting and threshold: not used. */
    uint32_t steps;
    uint32_t tokens_per_step; /* > 0, instead of steps, for samplers that count tokens */
    /* > 0: semi-autoregressive, blocks of so many positions from left to right (2502.09992), beginning at the
     * first column that has a mask in any row of the batch; every pass still sees the whole canvas. 0: all at
     * once. */
    uint32_t block;
    float temperature; /* of tokens; 0: the most probable */
    uint32_t top_k;    /* cuts as in pm_draw_args; 0: none */
    float top_p, min_p;
    float position_temperature; /* as in pm_reveal_args, for entropy, margin, max-prob, low-confidence */
    float threshold;
    /* Scale w of guidance (2207.12598), u + w (c - u) on logits, where u sees what the canvas gave as masks;
     * 1: none. LLaDA's cfg_scale is w - 1. */
    float guidance;
    /* The last step of each block takes the most probable token instead of drawing one (2107.03006): another
     * law, whose texts look better. Tokens within 1e-6 of the highest logit count as equal. */
    bool final_argmax;
    bool time_conditioned; /* the network is told t; not with cached or blocks */
    pm_masking masking;    /* schedule and power: the times at which ancestral reveals; eps counts as 0 */
    uint64_t seed;         /* sample i depends on (seed, i), and on the batch only through `block` */
    pm_precision precision;
    /* Writes the network's parameters, before the first step. NULL: there are none. */
    pm_status (*load)(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error);
    /* Called every progress_every steps (0: never), but not for steps that are left out, with the canvas
     * [B][L] as it is then, lent for the call, and step `done` of `total`. Returning false ends the run with
     * PM_OK and the masks that are left. */
    bool (*progress)(void *user, uint32_t done, uint32_t total, const uint32_t *canvas);
    uint32_t progress_every;
    void *user; /* of load and progress */
} pm_masked_sampling;

/* Ancestral sampling with temperature 1, guidance 1, the linear schedule; the rest zero: no cuts and no
 * argmax at the end, so that nothing but the number of steps is between the law of samples and the network's.
 */
pm_masked_sampling pm_masked_sampling_defaults(void);

typedef struct pm_masked_sampler pm_masked_sampler;

/* Plans the step for canvases [batch, length]. Fails with PM_BAD_USAGE for options that are unknown or do not
 * go together, and as pm_plan_create does. The device and what the denoiser's user pointer points to must
 * outlive the sampler; the caller destroys it. */
pm_status pm_masked_sampler_create(pm_device *device, const pm_denoiser *denoiser,
                                   const pm_masked_sampling *options, uint32_t batch, uint32_t length,
                                   pm_masked_sampler **out, pm_error *error);
void pm_masked_sampler_destroy(pm_masked_sampler *sampler);

/* Fills the masks of canvas [B][L], in place, for samples number first .. first+B-1. A token above the mask's
 * number fails with PM_BAD_USAGE. May be called again. */
pm_status pm_masked_sampler_run(pm_masked_sampler *sampler, uint32_t *canvas, uint32_t first,
                                pm_error *error);

/* How many times the last run called the network. */
uint32_t pm_masked_sampler_passes(const pm_masked_sampler *sampler);

#endif
