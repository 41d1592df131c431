/* Recipes: data, network, process and training of one model, as JSON. A name is looked up among the recipes
 * that are built into the library; anything with a slash or ending in .json is a file. A model file carries
 * its recipe, whole. */
#ifndef PM_RECIPES_RECIPE_H
#define PM_RECIPES_RECIPE_H

#include "networks/classifier.h"
#include "networks/transformer.h"
#include "networks/unet.h"
#include "processes/gaussian.h"
#include "processes/masked.h"
#include "pumice.h"

typedef enum pm_model_kind {
    PM_KIND_IMAGE_DIFFUSION,
    PM_KIND_IMAGE_CLASSIFIER,
    PM_KIND_TEXT_AUTOREGRESSIVE,
    PM_KIND_TEXT_MASKED,
} pm_model_kind;
typedef enum pm_lr_decay { PM_DECAY_CONSTANT, PM_DECAY_COSINE, PM_DECAY_LINEAR } pm_lr_decay;

typedef struct pm_recipe {
    char name[64];
    char description[200];
    pm_model_kind kind;
    struct {
        char source[512]; /* "fashion-mnist" or a path */
        bool mirror;      /* mirror images left-right at random while training */
        uint32_t size;    /* images of a folder are cropped and scaled to this; 0: as they are */
        uint32_t height, width, channels, classes; /* 0 in a recipe: taken from the data set */
        char class_names[64][32];                  /* filled from the data set; empty ones end the list */
        char tokenizer[256];                       /* "characters", "bytes", or a path of BPE files */
        float validation;                          /* part of a text that is kept for it */
        uint64_t split_seed;                       /* decides which part */
    } data;
    /* The network of either kind; sizes, classes and timesteps are filled in from data and process. */
    pm_unet_config unet;
    pm_classifier_config classifier;
    pm_gaussian_config process;
    pm_transformer_config transformer; /* of text; vocabulary from the tokenizer, mask from the kind */
    struct {
        pm_masked_objective objective;
        pm_mask_schedule schedule;
        float eps, power, t_min;
        bool stratified;
    } masked; /* the process of PM_KIND_TEXT_MASKED */
    struct {
        uint32_t batch, steps;
        float learning_rate;
        uint32_t warmup; /* steps of linear rise */
        pm_lr_decay decay;
        float beta1, beta2, eps, weight_decay, clip_norm;
        float ema; /* 0: none */
        bool ema_warmup;
        bool recompute;
        float label_dropout;
        uint64_t seed;
        uint32_t save_every, sample_every; /* steps; 0: only at the end */
    } training;
    struct {
        char sampler[16], spacing[16];
        uint32_t steps;
        float eta, guidance;
    } sampling;
    struct {
        char sampler[16];      /* of a masked text */
        uint32_t steps, block; /* 0: a step for each token; no blocks */
        float temperature, top_p, min_p, repetition, position_temperature, threshold;
        uint32_t top_k;
    } generation; /* how text is drawn */
} pm_recipe;

bool pm_kind_is_text(pm_model_kind kind);

/* The masked process of a recipe of that kind. */
pm_masked_config pm_recipe_masking(const pm_recipe *recipe);

/* "image-diffusion", "image-classifier", "text-autoregressive" or "text-masked", as recipes write it. */
const char *pm_model_kind_name(pm_model_kind kind);

/* Reads a recipe by name or file and checks every value; an unknown key is an error that names the nearest
 * known one. Fails with PM_BAD_USAGE when there is no recipe of this name, PM_IO when the file cannot be
 * read, PM_BAD_FILE when it is wrong. */
pm_status pm_recipe_load(const char *name_or_path, pm_recipe *out, pm_error *error);

/* The same of a file, whatever its name looks like. */
pm_status pm_recipe_read(const char *path, pm_recipe *out, pm_error *error);

/* The same from JSON text; `where` (a file name) goes into messages. Fails with PM_BAD_FILE. */
pm_status pm_recipe_parse(const char *json, const char *where, pm_recipe *out, pm_error *error);

/* "training.batch=64", as `--set` takes it: the value is JSON or, failing that, a string; a list needs no
 * brackets. Fails with PM_BAD_USAGE, and then the recipe is as it was. Rules that tie two keys together are
 * checked by pm_recipe_fit. */
pm_status pm_recipe_set(pm_recipe *recipe, const char *assignment, pm_error *error);

/* The whole recipe as JSON text, which the caller frees; NULL when memory ran out or a text is not UTF-8.
 * Parsing it gives the same recipe. */
char *pm_recipe_json(const pm_recipe *recipe);

/* Names of the built-in recipes, ended by NULL. */
const char *const *pm_recipe_names(void);

/* Calls `line` once for each key: its meaning, what it takes, and its default. */
void pm_recipe_describe(void (*line)(void *user, const char *text), void *user);

/* Fills the vocabulary of a text model, or holds it against what the recipe says (PM_BAD_FILE). */
pm_status pm_recipe_fit_text(pm_recipe *recipe, uint32_t vocabulary, pm_error *error);

/* Fills sizes and classes from the data (PM_BAD_FILE when the recipe already says otherwise) and copies them
 * into the network. Data of one class makes an unconditional model, and data.classes 0. Names that do not fit
 * are cut. */
pm_status pm_recipe_fit(pm_recipe *recipe, uint32_t height, uint32_t width, uint32_t channels,
                        uint32_t classes, const char *const *class_names, pm_error *error);

#endif
