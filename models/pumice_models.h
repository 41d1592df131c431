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
 * weights is taken where there is one). Fails with PM_IO or PM_BAD_FILE. The caller closes it. */
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
    const char
        *spacing;   /* of timesteps: "leading", "trailing", "linspace", "quadratic"; NULL: the recipe's */
    uint32_t steps; /* 0: the recipe's */
    float eta;      /* of DDIM: 0 deterministic, 1 as random as DDPM; negative: the recipe's */
    float guidance; /* guidance scale w: eps_null + w (eps_class - eps_null); 1 costs one pass. NAN: the
                       recipe's */
    uint32_t batch; /* pictures at a time; 0: chosen */
    pm_precision precision;
    /* Called after every step of a batch, and once at the end; returning false stops with PM_OK and what is
     * done so far. */
    bool (*progress)(void *user, uint32_t done, uint32_t total);
    /* With preview_every > 0: the estimate of the finished pictures first .. first+count-1 every so many
     * steps. */
    uint32_t preview_every;
    void (*preview)(void *user, uint32_t step, uint32_t first, uint32_t count, const uint8_t *pixels);
    void *user;
} pm_sample_options;

/* Every field at "the recipe's" or its neutral value. */
pm_sample_options pm_sample_defaults(void);

/* Draws pictures: pixels [count][height][width][channels], 8 bits. *made is how many are complete (may be
 * NULL). */
pm_status pm_model_sample(pm_device *device, const pm_model *model, const pm_sample_options *options,
                          uint8_t *pixels, uint32_t *made, pm_error *error);

/* Writes one 8-bit picture, or `count` of them as a grid with `columns` columns, as PNG; `parameters` (or
 * NULL) goes into a text chunk of that name. The file appears whole or not at all. */
pm_status pm_write_png(const char *path, const uint8_t *pixels, uint32_t count, uint32_t columns,
                       uint32_t height, uint32_t width, uint32_t channels, const char *parameters,
                       pm_error *error);

#ifdef __cplusplus
}
#endif
#endif
