/* A model file in memory: its recipe, and its weights by name. */
#ifndef PM_SAMPLING_MODEL_H
#define PM_SAMPLING_MODEL_H

#include "files/safetensors.h"
#include "pumice_models.h"
#include "recipes/recipe.h"
#include "text/tokenizer.h"

/* Names inside a file: a parameter's path alone for the weights, and with these before it for the rest of a
 * checkpoint. */
#define PM_PREFIX_AVERAGE "ema."
#define PM_PREFIX_FIRST_MOMENT "adam.m."
#define PM_PREFIX_SECOND_MOMENT "adam.v."

/* Keys of the metadata. */
#define PM_META_RECIPE "pumice.recipe"
#define PM_META_STEP "pumice.step"
#define PM_META_TOKENIZER "pumice.tokenizer" /* of a text model: JSON */
#define PM_META_FORMAT "pumice.format"       /* PM_FORMAT_VERSION */
#define PM_FORMAT_VERSION "1"

/* Whether the tensor of this name is a parameter, and not the optimiser's or of the average. */
bool pm_model_is_weight(const char *name);

struct pm_model {
    pm_safetensors *file;
    pm_recipe recipe;
    char *config;
    uint64_t step, parameters;
    const char *class_names[64];
    pm_tokenizer *tokenizer; /* of a text model, else NULL */
    const char *tokenizer_json;
};

/* Copies the tensor called prefix + path, which must be f32 of this shape, to `out`. PM_BAD_FILE names what
 * is missing. */
pm_status pm_model_tensor(const pm_safetensors *file, const char *prefix, const char *path, pm_shape shape,
                          float *out, pm_error *error);

/* Writes every parameter of the graph from the model: the average where the file has one, else the
 * weights. */
pm_status pm_model_load_into(const pm_model *model, pm_plan *plan, const pm_graph *graph, pm_error *error);

#endif
