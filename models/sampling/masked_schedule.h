/* The host's half of masked sampling: from a canvas to what each step may reveal. No device is needed. */
#ifndef PM_SAMPLING_MASKED_SCHEDULE_H
#define PM_SAMPLING_MASKED_SCHEDULE_H

#include "sampling/masked_sampler.h"

/* Streams of randomness of sampling: tokens, positions, permutations, times. */
enum {
    PM_STREAM_MASKED_DRAW = 0x220,
    PM_STREAM_MASKED_REVEAL = 0x221,
    PM_STREAM_MASKED_ORDER = 0x222,
    PM_STREAM_MASKED_HITTING = 0x223,
};

/* What a sampler's name stands for. */
typedef struct pm_masked_method {
    const char *name;
    pm_reveal_mode mode;
    pm_confidence confidence;
    bool cached, hitting;
    bool permuted, left_to_right; /* the order is a table, and not a confidence */
} pm_masked_method;

/* NULL for an unknown name. */
const pm_masked_method *pm_masked_method_named(const char *name);

/* Tables for `capacity` steps, of which a run uses the first `steps`. */
typedef struct pm_masked_schedule {
    uint32_t capacity, batch, length, mask_token;
    uint32_t steps;
    uint32_t *window; /* [capacity][2] */
    uint32_t *count;  /* [capacity][B], or NULL */
    float *rate;      /* [capacity][B], or NULL */
    float *time;      /* [capacity][B], what the network is told */
    float *order;     /* [B][L]: higher is earlier */
    float *sharpen;   /* [capacity]: what logits are multiplied by */
    bool *active;     /* [capacity]: the step may reveal something */
} pm_masked_schedule;

/* Room for any canvas [batch, length]; options must be complete. */
pm_status pm_masked_schedule_create(const pm_masked_sampling *options, uint32_t batch, uint32_t length,
                                    uint32_t mask_token, pm_masked_schedule **out, pm_error *error);
void pm_masked_schedule_destroy(pm_masked_schedule *schedule);

/* Fills the tables for a canvas and samples first .. first+B-1. */
void pm_masked_schedule_fill(pm_masked_schedule *schedule, const pm_masked_sampling *options,
                             const uint32_t *canvas, uint32_t first);

#endif
