/* Memory that does not suffice: said before anything is allocated, with the settings that would fit, which
 * then do fit; by the driver's budget where it tells one. */
/* ctest labels: device */
#include "unit.h"

#include "tiny.h"
#include "tiny_text.h"

#include "device/device.h"
#include "plan/plan.h"
#include "pumice_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pm_device *open_with(uint64_t memory)
{
    pm_device *device;
    pm_error error = {0};
    if (pm_device_open(NULL, &device, &error) != PM_OK) fail_msg("%s", error.message);
    if (memory) device->facts.memory_bytes = memory;
    return device;
}

static uint64_t training_bytes(const pm_recipe *recipe, const pm_training_data *data, pm_precision precision)
{
    pm_plan_options options = {.precision = precision};
    pm_trainer *trainer;
    pm_error error = {0};
    pm_device *device = open_with(0);
    if (pm_trainer_create(device, recipe, data, &options, &trainer, &error) != PM_OK)
        fail_msg("%s", error.message);
    pm_plan_stats needs, stats = pm_plan_stats_of(pm_trainer_plan(trainer));
    pm_trainer_destroy(trainer);
    assert_int_equal(device->allocated, 0);
    assert_int_equal(pm_trainer_needs(device, recipe, data, &options, &needs, &error), PM_OK);
    assert_int_equal(needs.persistent_bytes, stats.persistent_bytes);
    assert_int_equal(needs.activation_bytes, stats.activation_bytes);
    assert_int_equal(device->allocated, 0);
    pm_device_close(device);
    return stats.persistent_bytes + stats.activation_bytes;
}

/* The number behind "name=" in a message; 0: it is not there. */
static uint32_t named(const char *message, const char *name)
{
    const char *at = strstr(message, name);
    return at ? (uint32_t)strtoul(at + strlen(name) + 1, NULL, 10) : 0;
}

static void what_a_plan_needs_is_known_without_allocating(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_plan_stats before, after;
    pm_device *device = open_with(0);
    pm_graph *g = pm_graph_create();
    pm_tensor x = pm_param(g, "x", PM_SHAPE(300, 70), (pm_init){PM_INIT_NORMAL, 1});
    (void)state;
    (void)pm_backward(g, pm_sum(g, pm_silu(g, pm_matmul(g, x, x, PM_ABT, PM_NONE, PM_NONE))));
    assert_int_equal(pm_plan_needs(device, g, NULL, &before, &error), PM_OK);
    assert_int_equal(device->n_allocations, 0);
    assert_true(before.persistent_bytes >= 300 * 70 * 4 && before.activation_bytes > 300 * 300 * 4);
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    after = pm_plan_stats_of(plan);
    assert_int_equal(before.persistent_bytes, after.persistent_bytes);
    assert_int_equal(before.activation_bytes, after.activation_bytes);
    assert_true(device->allocated >= after.persistent_bytes + after.activation_bytes);
    pm_plan_destroy(plan);
    assert_int_equal(device->allocated, 0);
    pm_graph_destroy(g);
    pm_device_close(device);
}

/* Trains in `memory` bytes: that fails, nothing was allocated, and the batch that the message names fits. */
static void expect_advice(const pm_recipe *recipe, const pm_training_data *data, uint64_t memory,
                          const char *setting, uint32_t *value)
{
    pm_trainer *trainer;
    pm_error error = {0};
    pm_device *device = open_with(memory);
    assert_int_equal(pm_trainer_create(device, recipe, data, NULL, &trainer, &error), PM_NO_MEMORY);
    assert_null(trainer);
    assert_int_equal(device->n_allocations, 0);
    assert_non_null(strstr(error.message, "would fit"));
    uint32_t batch = named(error.message, "training.batch");
    *value = named(error.message, setting);
    assert_true(batch > 0 && batch < recipe->training.batch);
    pm_recipe fitting = *recipe;
    fitting.training.batch = batch;
    if (pm_trainer_create(device, &fitting, data, NULL, &trainer, &error) != PM_OK)
        fail_msg("%s", error.message);
    pm_trainer_destroy(trainer);
    fitting.training.batch = 2 * batch; /* and it is the largest of the halves */
    assert_int_equal(pm_trainer_create(device, &fitting, data, NULL, &trainer, &error), PM_NO_MEMORY);
    pm_device_close(device);
}

static void too_large_a_batch_of_pictures_names_one_that_fits(void **state)
{
    pm_error error = {0};
    pm_recipe recipe;
    pm_dataset pictures = tiny_dataset();
    pm_training_data data = {.pictures = &pictures};
    uint32_t base;
    (void)state;
    assert_int_equal(tiny_fitted_recipe(&recipe, &error), PM_OK);
    recipe.training.batch = 64;
    uint64_t bytes = training_bytes(&recipe, &data, PM_EXACT);
    assert_true(training_bytes(&recipe, &data, PM_FAST) > bytes); /* by the loss's scale */
    expect_advice(&recipe, &data, bytes / 3, "unet.base", &base);
    free(pictures.pixels);
    free(pictures.labels);
}

static void too_long_a_text_names_what_fits(void **state)
{
    (void)state;
    for (uint32_t which = 0; which < 2; which++) {
        pm_error error = {0};
        pm_recipe recipe;
        char *json;
        uint32_t *tokens, context;
        assert_int_equal(tiny_text_open(which, &recipe, &json, &tokens, &error), PM_OK);
        pm_training_data data = {.tokens = tokens, .n_tokens = TINY_TEXT, .tokenizer = json};
        recipe.training.batch = 64;
        expect_advice(&recipe, &data, training_bytes(&recipe, &data, PM_EXACT) * 2 / 3, "transformer.context",
                      &context);
        assert_true(context > 0 && context < recipe.transformer.context);
        free(json);
        free(tokens);
    }
}

static void too_many_samples_at_once_name_how_many_fit(void **state)
{
    char path[] = "/tmp/pumice-memory-XXXXXX";
    pm_error error = {0};
    pm_recipe recipe;
    pm_trainer *trainer;
    pm_model *model;
    pm_dataset pictures = tiny_dataset();
    uint8_t pixels[16 * TINY_SIDE * TINY_SIDE];
    pm_sample_options options = pm_sample_defaults();
    pm_device *device = open_with(0);
    (void)state;
    assert_true(mkstemp(path) >= 0);
    assert_int_equal(tiny_fitted_recipe(&recipe, &error), PM_OK);
    assert_int_equal(pm_trainer_create(device, &recipe, &(pm_training_data){.pictures = &pictures}, NULL,
                                       &trainer, &error),
                     PM_OK);
    assert_int_equal(pm_trainer_save(trainer, path, &error), PM_OK);
    pm_trainer_destroy(trainer);
    assert_int_equal(pm_model_open(path, &model, &error), PM_OK);
    device->facts.memory_bytes = 600 << 10;
    options.count = options.batch = 16;
    options.steps = 2;
    assert_int_equal(pm_model_sample(device, model, &options, pixels, NULL, &error), PM_NO_MEMORY);
    options.batch = named(error.message, "batch");
    if (options.batch == 0 || options.batch >= 16) fail_msg("%s", error.message);
    assert_int_equal(pm_model_sample(device, model, &options, pixels, NULL, &error), PM_OK);
    pm_model_close(model);
    pm_device_close(device);
    (void)unlink(path);
    free(pictures.pixels);
    free(pictures.labels);
}

static void even_one_picture_may_be_too_many(void **state)
{
    pm_error error = {0};
    pm_recipe recipe;
    pm_trainer *trainer;
    pm_dataset pictures = tiny_dataset();
    pm_device *device = open_with(4096);
    (void)state;
    assert_int_equal(tiny_fitted_recipe(&recipe, &error), PM_OK);
    assert_int_equal(pm_trainer_create(device, &recipe, &(pm_training_data){.pictures = &pictures}, NULL,
                                       &trainer, &error),
                     PM_NO_MEMORY);
    assert_non_null(strstr(error.message, "even training.batch=1 would not fit"));
    pm_device_close(device);
    free(pictures.pixels);
    free(pictures.labels);
}

/* ---- The driver's budget ------------------------------------------------------------------------------- */

static PFN_vkGetPhysicalDeviceMemoryProperties2 real_properties;
static VkDeviceSize pretended_budget, pretended_usage;

static VKAPI_ATTR void VKAPI_CALL pretend_budget(VkPhysicalDevice physical,
                                                 VkPhysicalDeviceMemoryProperties2 *out)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = out->pNext;
    real_properties(physical, out);
    if (!budget || budget->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) return;
    for (uint32_t i = 0; i < VK_MAX_MEMORY_HEAPS; i++) {
        budget->heapBudget[i] = pretended_budget;
        budget->heapUsage[i] = pretended_usage;
    }
}

static void the_budget_of_the_driver_counts(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_device *device = open_with(0);
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_output(g, pm_silu(g, pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1 << 20)))); /* 8 MiB together */
    assert_true(pm_device_memory_free(device) <= device->facts.memory_bytes);
    device->rules.on |= PM_BIT(PM_MEMORY_BUDGET);
    real_properties = vkGetPhysicalDeviceMemoryProperties2;
    vkGetPhysicalDeviceMemoryProperties2 = pretend_budget;
    pretended_budget = 20 << 20;
    pretended_usage = 14 << 20;
    assert_int_equal(pm_device_memory_free(device), 6 << 20);
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_NO_MEMORY);
    assert_non_null(strstr(error.message, "of 6.0 MiB free"));
    pretended_usage = 21 << 20; /* others may take more than there is */
    assert_int_equal(pm_device_memory_free(device), 0);
    pretended_usage = 11 << 20;
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    pm_plan_destroy(plan);
    vkGetPhysicalDeviceMemoryProperties2 = real_properties;
    pm_graph_destroy(g);
    pm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_plan_needs_is_known_without_allocating),
        cmocka_unit_test(too_large_a_batch_of_pictures_names_one_that_fits),
        cmocka_unit_test(too_long_a_text_names_what_fits),
        cmocka_unit_test(too_many_samples_at_once_name_how_many_fit),
        cmocka_unit_test(even_one_picture_may_be_too_many),
        cmocka_unit_test(the_budget_of_the_driver_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
