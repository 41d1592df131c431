/* Models on top of the runtime: open a model file, sample from it, write pictures. */
#ifndef PUMICE_MODELS_H
#define PUMICE_MODELS_H

#include "pumice.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model file: configuration and weights, in host memory. */
typedef struct pm_model pm_model;

typedef struct pm_model_info {
    const char *name;   /* of the recipe that it was trained by */
    const char *kind;   /* "image-diffusion" or "image-classifier" */
    const char *config; /* the whole recipe as JSON */
    uint32_t height, width, channels;
    uint32_t classes;               /* 0: unconditional */
    const char *const *class_names; /* [classes], or NULL */
    uint64_t parameters;
    uint64_t step; /* of training, at which it was saved */
} pm_model_info;

/* Reads a safetensors file that pumice wrote (a model, or a training checkpoint, of which the average of the
 * weights is taken where there is one). Fails with PM_IO, PM_BAD_FILE, PM_NO_MEMORY. The caller closes it. */
pm_status pm_model_open(const char *path, pm_model **out, pm_error *error);
void pm_model_close(pm_model *model);
/* Strings are owned by the model. */
pm_model_info pm_model_info_of(const pm_model *model);

typedef struct pm_sample_options {
    uint32_t count;         /* pictures; 0 counts as 1 */
    const uint32_t *labels; /* [count], a label >= classes is the null class; NULL: 0, 1, 2, ... in turn */
    uint64_t seed;          /* picture i depends on (seed, i) alone, not on batch or device */
    uint64_t first;         /* number of the first picture: seeds continue across calls */
    const char *sampler;    /* "ddim", "ddpm" or "ddpm-large"; NULL: the recipe's */
    const char *spacing;    /* "leading", "linspace", "trailing", "quadratic"; NULL: the recipe's */
    uint32_t steps;         /* timesteps visited, at most the process's T; 0: the recipe's */
    float eta;              /* of DDIM: 0 deterministic, 1 as random as DDPM; negative: the recipe's */
    float guidance;         /* scale w: null + w (class - null); 1 costs one pass; NAN: the recipe's */
    uint32_t batch;         /* pictures at a time; 0: 64 */
    pm_precision precision;
    /* Called after every step of every batch; done is total at the last one. Returning false stops with
     * PM_OK: the pictures of the batch under way are then the estimate of that step. */
    bool (*progress)(void *user, uint32_t done, uint32_t total);
    /* With preview_every > 0, every so many steps: the estimate of the finished pictures first ..
     * first+count-1, counted from the first of this call. The pixels are lent for the call. */
    uint32_t preview_every;
    void (*preview)(void *user, uint32_t step, uint32_t first, uint32_t count, const uint8_t *pixels);
    void *user;
} pm_sample_options;

/* Every field at "the recipe's" or its neutral value. */
pm_sample_options pm_sample_defaults(void);

/* Draws pictures: pixels [count][height][width][channels], 8 bits, the caller's. *made (may be NULL) is how
 * many were written. Fails with PM_BAD_USAGE when the model is a classifier or an option does not fit it,
 * PM_BAD_FILE when the file lacks a tensor, and as pm_plan_create and pm_plan_run do. */
pm_status pm_model_sample(pm_device *device, const pm_model *model, const pm_sample_options *options,
                          uint8_t *pixels, uint32_t *made, pm_error *error);

/* Writes one 8-bit picture, or `count` of them as a grid with `columns` columns, as PNG; `parameters` (or
 * NULL) goes into a text chunk of that name. 0 columns: a grid that is nearly square. The file appears whole
 * or not at all. Fails with PM_BAD_USAGE (sizes, channels other than 1 and 3), PM_IO, PM_NO_MEMORY. */
pm_status pm_write_png(const char *path, const uint8_t *pixels, uint32_t count, uint32_t columns,
                       uint32_t height, uint32_t width, uint32_t channels, const char *parameters,
                       pm_error *error);

#ifdef __cplusplus
}
#endif
#endif
