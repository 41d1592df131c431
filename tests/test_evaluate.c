/* Classifying pictures with a model file: features against the plain C reference, and that neither the batch
 * nor the other pictures matter. */
/* ctest labels: device */
#include "device_helpers.h"
#include "file_helpers.h"

#include "plan/reference.h"
#include "sampling/model.h"
#include "training/evaluate.h"

#include <math.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 3, FEATURES = 6, COUNT = 300, MAX_PARAMS = 32 };

static const char RECIPE[] = "{\"name\": \"small-judge\", \"kind\": \"image-classifier\", \"classifier\": "
                             "{\"base\": 4, \"features\": 6},"
                             " \"training\": {\"batch\": 8, \"steps\": 10, \"learning_rate\": 0.1}}";

static uint8_t pictures[COUNT * PIXELS];

static int set_up(void **state)
{
    uint64_t random = 5;
    for (size_t i = 0; i < sizeof pictures; i++) pictures[i] = (uint8_t)(next_random(&random) >> 13);
    return open_device(state) || make_test_directory(state);
}

static int tear_down(void **state)
{
    return close_device(state) || remove_test_directory(state);
}

static pm_recipe judge_recipe(void)
{
    pm_error error;
    pm_recipe recipe;
    expect_ok(pm_recipe_parse(RECIPE, "test", &recipe, &error), &error);
    expect_ok(pm_recipe_fit(&recipe, SIDE, SIDE, 1, CLASSES, NULL, &error), &error);
    return recipe;
}

/* Writes `tensors` as a model of this recipe, and opens it. */
static pm_model *make_model(const pm_recipe *recipe, const pm_safetensor *tensors, size_t count)
{
    pm_error error;
    pm_model *model;
    char *json = pm_recipe_json(recipe);
    assert_non_null(json);
    const pm_text_pair metadata[] = {
        {PM_META_RECIPE, json}, {PM_META_STEP, "10"}, {PM_META_FORMAT, PM_FORMAT_VERSION}};
    expect_ok(pm_safetensors_write(test_path("judge.safetensors"), tensors, count, metadata, 3, &error),
              &error);
    expect_ok(pm_model_open(test_path("judge.safetensors"), &model, &error), &error);
    free(json);
    return model;
}

/* A classifier of `batch` pictures, its reference, and a model file with the same random parameters (biases,
 * too). */
typedef struct oracle {
    pm_graph *graph;
    pm_reference_run *run;
    pm_tensor x, logits, features;
    pm_model *model;
} oracle;

static oracle make_oracle(uint32_t batch)
{
    oracle o = {.graph = pm_graph_create()};
    pm_error error;
    pm_recipe recipe = judge_recipe();
    pm_safetensor tensors[MAX_PARAMS] = {0};
    uint64_t random = 99;
    assert_non_null(o.graph);
    o.x = pm_state(o.graph, "x", PM_DTYPE_F32, PM_SHAPE(batch, SIDE, SIDE, 1));
    o.logits = pm_classifier(o.graph, &recipe.classifier, o.x, PM_NONE, &o.features);
    expect_ok(pm_graph_status(o.graph, &error), &error);
    expect_ok(pm_reference_create(o.graph, 1, &o.run, &error), &error);
    uint32_t count = pm_param_count(o.graph);
    assert_in_range(count, 1, MAX_PARAMS);
    for (uint32_t p = 0; p < count; p++) {
        pm_tensor param = pm_param_at(o.graph, p);
        pm_host host = pm_reference_host(o.run, param);
        float *values = malloc(host.count * sizeof *values);
        assert_non_null(values);
        for (uint32_t i = 0; i < host.count; i++) {
            values[i] = (float)host.f[i] + ((float)(next_random(&random) % 1000) - 500.0f) * 4e-4f;
            host.f[i] = (double)values[i];
        }
        tensors[p] = (pm_safetensor){.name = pm_name_of(o.graph, param),
                                     .element = PM_ELEMENT_F32,
                                     .rank = host.shape.rank,
                                     .data = values,
                                     .bytes = host.count * sizeof *values};
        for (uint32_t d = 0; d < host.shape.rank; d++) tensors[p].shape[d] = host.shape.dim[d];
    }
    o.model = make_model(&recipe, tensors, count);
    for (uint32_t p = 0; p < count; p++) free((void *)(uintptr_t)tensors[p].data);
    return o;
}

static void free_oracle(oracle *o)
{
    pm_model_close(o->model);
    pm_reference_destroy(o->run);
    pm_graph_destroy(o->graph);
}

static void test_against_reference(void **state)
{
    (void)state;
    enum { BATCH = 40 }; /* the last so many of 300, of which the last 44 are a batch that is not full */
    static uint32_t predictions[COUNT];
    oracle o = make_oracle(BATCH);
    pm_error error;
    float *features;
    uint32_t width, seen[CLASSES] = {0};
    expect_ok(pm_classify(device, o.model, pictures, COUNT, predictions, &features, &width, &error), &error);
    assert_int_equal(width, FEATURES);
    pm_host x = pm_reference_host(o.run, o.x), f = pm_reference_host(o.run, o.features);
    pm_host logits = pm_reference_host(o.run, o.logits);
    const uint32_t first = COUNT - BATCH;
    for (uint32_t i = 0; i < x.count; i++) x.f[i] = pictures[first * PIXELS + i] / 127.5 - 1.0;
    pm_reference_nodes(o.run, UINT32_MAX);
    for (uint32_t i = 0; i < BATCH; i++) {
        uint32_t best = 0;
        for (uint32_t j = 0; j < FEATURES; j++) {
            double wanted = f.f[i * FEATURES + j], got = (double)features[(first + i) * FEATURES + j];
            if (fabs(got - wanted) > 1e-4)
                fail_msg("picture %u feature %u: %g, wanted %g", i, j, got, wanted);
        }
        for (uint32_t c = 1; c < CLASSES; c++) {
            if (logits.f[i * CLASSES + c] > logits.f[i * CLASSES + best]) best = c;
        }
        assert_int_equal(predictions[first + i], best);
        seen[best]++;
    }
    assert_true(seen[0] < BATCH && seen[1] < BATCH && seen[2] < BATCH); /* not all the same */
    free(features);
    free_oracle(&o);
}

static void test_alone(void **state)
{
    (void)state;
    static const uint32_t some[] = {0, 127, 128, 255, 256, 299}; /* about the edges of batches */
    static uint32_t predictions[COUNT];
    oracle o = make_oracle(1);
    pm_error error;
    float *features, *alone;
    uint32_t width, prediction;
    expect_ok(pm_classify(device, o.model, pictures, COUNT, predictions, &features, &width, &error), &error);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        const uint8_t *picture = pictures + some[i] * PIXELS;
        expect_ok(pm_classify(device, o.model, picture, 1, &prediction, &alone, NULL, &error), &error);
        assert_int_equal(prediction, predictions[some[i]]);
        assert_memory_equal(alone, features + some[i] * FEATURES, FEATURES * sizeof(float));
        free(alone);
    }
    expect_ok(pm_classify(device, o.model, pictures, 5, NULL, NULL, NULL, &error), &error);
    free(features);
    free_oracle(&o);
}

static void test_refused(void **state)
{
    (void)state;
    pm_error error;
    float *features;
    const float number = 1.0f;
    const pm_safetensor tensor = {.name = "stage1.conv1.weight",
                                  .element = PM_ELEMENT_F32,
                                  .rank = 1,
                                  .shape = {1},
                                  .data = &number,
                                  .bytes = 4};
    pm_recipe recipe = judge_recipe(), picture_recipe;
    pm_model *model = make_model(&recipe, &tensor, 1);
    expect_failure(pm_classify(device, model, pictures, 1, NULL, &features, NULL, &error), PM_BAD_FILE,
                   &error, "stage1.conv1.weight");
    assert_null(features);
    expect_failure(pm_classify(device, model, pictures, 0, NULL, &features, NULL, &error), PM_BAD_USAGE,
                   &error, "no pictures");
    pm_model_close(model);

    expect_ok(pm_recipe_load("fashion-tiny", &picture_recipe, &error), &error);
    model = make_model(&picture_recipe, &tensor, 1);
    expect_failure(pm_classify(device, model, pictures, 1, NULL, NULL, NULL, &error), PM_BAD_USAGE, &error,
                   "takes a classifier");
    pm_model_close(model);

    expect_ok(pm_recipe_load("fashion-classifier", &recipe, &error), &error); /* never fitted to data */
    model = make_model(&recipe, &tensor, 1);
    expect_failure(pm_classify(device, model, pictures, 1, NULL, NULL, NULL, &error), PM_BAD_FILE, &error,
                   "which pictures");
    pm_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
