/* The first operator that makes a NaN or an infinity is named: one weight that is NaN, one that is so large
 * that its products overflow, and a model in which nothing is wrong. */
/* ctest labels: device */
#include "device_helpers.h"

#include "finite.h"
#include "tiny.h"
#include "tiny_text.h"

#include "plan/plan.h"
#include "sampling/model.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static const char *const path = PM_BUILD_DIR "/tests/finite.safetensors";

/* Saves the trainer's model with one number of a parameter changed. */
static void save_with(pm_trainer *trainer, const char *parameter, uint32_t element, float value)
{
    pm_error error = {0};
    pm_plan *plan = pm_trainer_plan(trainer);
    pm_tensor tensor = pm_find(plan->graph, parameter);
    if (!pm_is(tensor)) fail_msg("no parameter %s", parameter);
    size_t bytes = pm_bytes_of(plan->graph, tensor);
    float *values = malloc(bytes);
    assert_int_equal(pm_plan_read(plan, tensor, values, bytes, &error), PM_OK);
    values[element] = value;
    assert_int_equal(pm_plan_write(plan, tensor, values, bytes, &error), PM_OK);
    free(values);
    assert_int_equal(pm_trainer_export(trainer, path, &error), PM_OK);
}

static const char *middle_parameter(pm_trainer *trainer)
{
    const pm_graph *graph = pm_trainer_plan(trainer)->graph;
    for (uint32_t i = pm_param_count(graph) / 2; i < pm_param_count(graph); i++) {
        if (pm_shape_of(graph, pm_param_at(graph, i)).rank >= 2)
            return pm_name_of(graph, pm_param_at(graph, i));
    }
    return "";
}

/* Sampling from the file and a training step on it; what each finds goes to `sampled` and `trained`. */
static void look_at_file(const pm_recipe *recipe, const pm_training_data *data, finite_result *sampled,
                         finite_result *trained)
{
    pm_error error = {0};
    pm_model *model;
    *sampled = *trained = (finite_result){0};
    if (pm_model_open(path, &model, &error) != PM_OK) fail_msg("%s", error.message);
    if (finite_sampling(device, model, PM_EXACT, sampled, &error) != PM_OK) fail_msg("%s", error.message);
    if (finite_training(device, recipe, data, model, PM_EXACT, trained, &error) != PM_OK)
        fail_msg("%s", error.message);
    pm_model_close(model);
    (void)unlink(path);
}

static void look_for(const finite_result *result, const char *stage, const char *a, const char *b)
{
    if (!strstr(result->found, stage) || !strstr(result->found, a) || !strstr(result->found, b))
        fail_msg("\"%s\" has not %s, %s, %s", result->found, stage, a, b);
}

static void look_at_model(const pm_recipe *recipe, const pm_training_data *data)
{
    static const float values[] = {0.25f, NAN, 3e38f};
    finite_result sampled, trained;
    pm_error error = {0};
    for (int i = 0; i < 3; i++) {
        pm_trainer *trainer;
        char name[200];
        if (pm_trainer_create(device, recipe, data, NULL, &trainer, &error) != PM_OK)
            fail_msg("%s", error.message);
        (void)snprintf(name, sizeof name, "%s", middle_parameter(trainer));
        save_with(trainer, name, 3, values[i]);
        pm_trainer_destroy(trainer);
        look_at_file(recipe, data, &sampled, &trained);
        if (i == 0) {
            assert_string_equal(sampled.found, "");
            assert_string_equal(trained.found, "");
            assert_true(sampled.nodes > 20 && trained.nodes > 60 && trained.numbers > 10000);
        } else if (i == 1) {
            look_for(&sampled, "sampling", name, "NaN at element 3 ");
            look_for(&trained, "training step", name, "the first to read it is node ");
        } else {
            look_for(&sampled, "sampling: node ", "makes ",
                     "out of finite numbers, of which the largest is ");
            look_for(&trained, "training step: node ", "makes ", "out of finite numbers, of which the");
            assert_null(strstr(trained.found, "backward"));
        }
    }
}

static void pictures(void **state)
{
    pm_dataset data = tiny_dataset();
    pm_recipe recipe;
    pm_error error = {0};
    (void)state;
    assert_int_equal(tiny_fitted_recipe(&recipe, &error), PM_OK);
    look_at_model(&recipe, &(pm_training_data){.pictures = &data});
    free(data.pixels);
    free(data.labels);
}

static void texts(void **state)
{
    pm_error error = {0};
    (void)state;
    for (uint32_t which = 0; which < 2; which++) {
        pm_recipe recipe;
        pm_training_data data = {.n_tokens = TINY_TEXT};
        char *json;
        uint32_t *tokens;
        assert_int_equal(tiny_text_open(which, &recipe, &json, &tokens, &error), PM_OK);
        data.tokens = tokens;
        data.tokenizer = json;
        look_at_model(&recipe, &data);
        free(json);
        free(tokens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures), cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, open_device, close_device);
}
