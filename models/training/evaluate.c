/* A trained classifier as a judge of pictures; see evaluate.h. */
#include "training/evaluate.h"

#include "base/checked.h"
#include "base/status.h"
#include "sampling/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_BATCH 128u
#define LARGEST_ELEMENTS (1u << 22) /* of a batch: larger pictures come in fewer at a time */

typedef struct judge {
    const pm_model *model;
    uint32_t batch, pixels; /* pictures in a run, and elements of one */
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor x, logits, features;
    float *x_host, *logits_host, *features_host; /* of one batch */
} judge;

static pm_status build(judge *j, pm_device *device, pm_error *error)
{
    const pm_classifier_config *config = &j->model->recipe.classifier;
    j->graph = pm_graph_create();
    if (!j->graph) return pm_fail(error, PM_NO_MEMORY, "classifier: out of host memory");
    pm_shape shape = PM_SHAPE(j->batch, config->height, config->width, config->channels);
    j->x = pm_state(j->graph, "x", PM_DTYPE_F32, shape);
    j->logits = pm_classifier(j->graph, config, j->x, PM_NONE, &j->features);
    pm_output(j->graph, j->logits);
    pm_output(j->graph, j->features);
    pm_status status = pm_plan_create(device, j->graph, &(pm_plan_options){0}, &j->plan, error);
    if (status != PM_OK) return status;
    return pm_model_load_into(j->model, j->plan, j->graph, error);
}

static pm_status allocate(judge *j, pm_error *error)
{
    const pm_classifier_config *config = &j->model->recipe.classifier;
    j->x_host = calloc((size_t)j->batch * j->pixels, sizeof(float));
    j->logits_host = calloc((size_t)j->batch * config->classes, sizeof(float));
    j->features_host = calloc((size_t)j->batch * config->features, sizeof(float));
    if (j->x_host && j->logits_host && j->features_host) return PM_OK;
    return pm_fail(error, PM_NO_MEMORY, "classifier: out of host memory");
}

static void release(judge *j)
{
    pm_plan_destroy(j->plan);
    pm_graph_destroy(j->graph);
    free(j->x_host);
    free(j->logits_host);
    free(j->features_host);
}

/* Pictures first .. first+count-1 through the network. What is left of the batch after the last picture keeps
 * its old contents, and its results are not looked at: no row depends on another. */
static pm_status run(judge *j, const uint8_t *pixels, uint32_t count, pm_error *error)
{
    const pm_classifier_config *config = &j->model->recipe.classifier;
    /* As pm_batch_images does, from which the classifier learned. */
    for (size_t i = 0; i < (size_t)count * j->pixels; i++)
        j->x_host[i] = (float)pixels[i] * (2.0f / 255.0f) - 1.0f;
    pm_status status =
        pm_plan_write(j->plan, j->x, j->x_host, (size_t)j->batch * j->pixels * sizeof(float), error);
    if (status == PM_OK) status = pm_plan_run(j->plan, 1, error);
    if (status == PM_OK) {
        status = pm_plan_read(j->plan, j->logits, j->logits_host,
                              (size_t)j->batch * config->classes * sizeof(float), error);
    }
    if (status != PM_OK) return status;
    return pm_plan_read(j->plan, j->features, j->features_host,
                        (size_t)j->batch * config->features * sizeof(float), error);
}

/* The class of the largest logit, the first of them where several are; false when one is not finite. */
static bool largest(const float *logits, uint32_t classes, uint32_t *out)
{
    *out = 0;
    for (uint32_t c = 0; c < classes; c++) {
        if (!isfinite(logits[c])) return false;
        if (logits[c] > logits[*out]) *out = c;
    }
    return true;
}

static pm_status judge_all(judge *j, const uint8_t *pixels, uint32_t count, uint32_t *predictions,
                           float *features, pm_error *error)
{
    const pm_classifier_config *config = &j->model->recipe.classifier;
    for (uint32_t first = 0, rows; first < count; first += rows) {
        rows = count - first < j->batch ? count - first : j->batch;
        pm_status status = run(j, pixels + (size_t)first * j->pixels, rows, error);
        if (status != PM_OK) return status;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t class;
            if (!largest(j->logits_host + (size_t)i * config->classes, config->classes, &class)) {
                return pm_fail(error, PM_FAILED,
                               "classifier: a logit of picture %u is not finite; its weights are no good",
                               first + i);
            }
            if (predictions) predictions[first + i] = class;
        }
        if (features) {
            memcpy(features + (size_t)first * config->features, j->features_host,
                   (size_t)rows * config->features * sizeof(float));
        }
    }
    return PM_OK;
}

pm_status pm_classify(pm_device *device, const pm_model *classifier, const uint8_t *pixels, uint32_t count,
                      uint32_t *predictions, float **features, uint32_t *n_features, pm_error *error)
{
    const pm_recipe *recipe = &classifier->recipe;
    const pm_classifier_config *config = &recipe->classifier;
    float *wanted = NULL;
    size_t bytes;
    if (features) *features = NULL;
    if (recipe->kind != PM_KIND_IMAGE_CLASSIFIER) {
        return pm_fail(error, PM_BAD_USAGE, "%s generates pictures: to judge them takes a classifier",
                       recipe->name);
    }
    if (config->height < 1 || config->width < 1 || config->channels < 1 || config->classes < 2) {
        return pm_fail(error, PM_BAD_FILE, "%s: the model does not say which pictures it is for",
                       recipe->name);
    }
    if (count < 1) return pm_fail(error, PM_BAD_USAGE, "%s: there are no pictures to classify", recipe->name);
    if (n_features) *n_features = config->features;
    if (features) {
        if (!pm_mul_size(count, config->features * sizeof(float), &bytes) || !(wanted = malloc(bytes))) {
            return pm_fail(error, PM_NO_MEMORY, "classifier: out of host memory");
        }
    }
    judge j = {.model = classifier, .pixels = config->height * config->width * config->channels};
    j.batch = LARGEST_ELEMENTS / j.pixels < LARGEST_BATCH ? LARGEST_ELEMENTS / j.pixels : LARGEST_BATCH;
    if (j.batch < 1) j.batch = 1;
    if (j.batch > count) j.batch = count;
    pm_status status = allocate(&j, error);
    if (status == PM_OK) status = build(&j, device, error);
    if (status == PM_OK) status = judge_all(&j, pixels, count, predictions, wanted, error);
    release(&j);
    if (status != PM_OK) {
        free(wanted);
    } else if (features) {
        *features = wanted;
    }
    return status;
}
