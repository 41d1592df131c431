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
    const char *kind;   /* "image-diffusion", "image-classifier", "text-autoregressive" or "text-masked" */
    const char *config; /* the whole recipe as JSON */
    uint32_t height, width, channels; /* of pictures; 0 for text */
    uint32_t vocabulary, context;     /* of text: tokens, and the most positions; 0 for pictures */
    uint32_t classes;                 /* 0: unconditional */
    const char *const *class_names;   /* [classes], or NULL */
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

/* ---- Text ---------------------------------------------------------------------------------------------- */

typedef struct pm_text_options {
    uint32_t count;     /* texts; 0 counts as 1 */
    uint64_t seed;      /* text i depends on (seed, first + i) alone, not on batch or device */
    uint32_t first;     /* number of the first text: seeds continue across calls */
    uint32_t batch;     /* texts at a time; 0: as many as there are, up to 64 */
    const char *prompt; /* UTF-8, what the text begins with; NULL or "": from nothing */
    /* What the text ends with, and, in a masked model, a text with blanks instead of both: "[7]" is a blank
     * of 7 tokens, "[2-9]" one of 2 to 9, whichever length makes the rest of the text most probable, and
     * "___" is "[1-16]"; "\[" and "\_" are the characters themselves. NULL: none. */
    const char *suffix, *infill;
    uint32_t length; /* tokens to draw; 0: what the context has room for, at most 256 */

    /* Of masked models. */
    const char *sampler;        /* a name of pm_text_sampler_names(); NULL: the recipe's */
    uint32_t steps;             /* network passes; 0: the recipe's */
    uint32_t block;             /* tokens of a block, filled from left to right; UINT32_MAX: the recipe's */
    float guidance;             /* weight w of what is given: none + w (given - none); 1 costs one pass */
    float position_temperature; /* of the choice of positions; NAN: the recipe's */
    float threshold;            /* of the sampler "threshold"; NAN: the recipe's */
    bool final_argmax; /* the last pass takes the most probable tokens: another law, which looks better */

    /* Cuts of the distribution that tokens are drawn from, as in pm_draw_args; NAN, or UINT32_MAX for top_k:
     * the recipe's. */
    float temperature, top_p, min_p, repetition;
    uint32_t top_k;

    /* Of autoregressive models: a text ends before the first of these. */
    const char *const *stop;
    uint32_t n_stop;

    pm_precision precision;
    /* Of autoregressive models: text `index` has gained these bytes (a part of a character, maybe). Returning
     * false ends all texts with PM_OK. */
    bool (*gained)(void *user, uint32_t index, const char *bytes, size_t count);
    /* Of masked models, after each pass: what text `index` is so far, with mask_text where it is not known.
     * Returning false ends with PM_OK; what is not known is then left out of the text. */
    bool (*canvas)(void *user, uint32_t step, uint32_t steps, uint32_t index, const char *text);
    const char *mask_text; /* UTF-8; NULL: "_" */
    void *user;
} pm_text_options;

/* Every field at "the recipe's" or its neutral value. */
pm_text_options pm_text_defaults(void);

/* Names of samplers of masked models, ended by NULL. */
const char *const *pm_text_sampler_names(void);

/* What pm_model_generate makes, and what it took: seconds without planning. */
typedef struct pm_texts {
    char **texts; /* [count], UTF-8 as far as the model writes it, each ended by a NUL, prompt included */
    size_t *sizes;
    uint32_t count;
    uint32_t prompt_tokens; /* read in passes over many tokens at once, all texts together */
    uint32_t tokens;        /* drawn, all texts together */
    uint32_t passes;        /* of the network, the prompt's not counted */
    double prompt_seconds, seconds;
    bool stopped; /* a callback said so */
} pm_texts;

/* Draws texts from a text model. The caller frees *out with pm_texts_free, also after a failure. Fails with
 * PM_BAD_USAGE when the model is none of text or an option does not fit it (a character of the prompt that
 * its tokenizer does not know, blanks for an autoregressive model, more tokens than a masked model's
 * context), PM_BAD_FILE when the file lacks a tensor, and as pm_plan_create and pm_plan_run do. */
pm_status pm_model_generate(pm_device *device, const pm_model *model, const pm_text_options *options,
                            pm_texts *out, pm_error *error);
void pm_texts_free(pm_texts *texts);

/* ---- Pictures as files --------------------------------------------------------------------------------- */

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
