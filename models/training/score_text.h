/* How many bits a text model needs for a text: exactly, or as a bound. */
#ifndef PM_TRAINING_SCORE_TEXT_H
#define PM_TRAINING_SCORE_TEXT_H

#include "pumice_models.h"

typedef struct pm_score_options {
    uint32_t batch; /* windows at a time; 0: 64 */
    /* Of autoregressive models: tokens by which windows of the context's length advance; each token but those
     * of the first window is then predicted from at least context - stride before it. 0: half the context. */
    uint32_t stride;
    /* Of masked models: how often every window is masked anew; at least 2. 0: 8. */
    uint32_t draws;
    uint64_t seed;
    pm_precision precision;
    bool (*progress)(void *user, uint32_t done, uint32_t total); /* may be NULL; false stops with PM_FAILED */
    void *user;
} pm_score_options;

typedef struct pm_text_score {
    double nats;      /* of all scored tokens together */
    double deviation; /* of nats, as an estimate: its standard error; 0: it is exact */
    uint32_t tokens;  /* scored: of a masked model, those of whole windows */
    uint32_t windows;
    uint32_t draws;
} pm_text_score;

/* Scores tokens u32 [n] by a text model. Autoregressive: the sum of -log p(x_i | what comes before in its
 * window), exact by the chain rule. Masked: the bound of any-order autoregression (k-DCE, 2406.03736): the
 * mean, over a uniform number k of masked tokens of a window of L and which they are, of L/k times their
 * cross-entropy; a network with a time gets the bound in continuous time instead. Masks depend on seed,
 * batch and window alone, so that models are compared on equal ones. Fails with PM_BAD_USAGE when the model
 * is none of text or the text is shorter than a masked model's window. */
pm_status pm_score_text(pm_device *device, const pm_model *model, const uint32_t *tokens, uint32_t n,
                        const pm_score_options *options, pm_text_score *out, pm_error *error);

#endif
