/* Faults injected below the runtime, into the device's table of Vulkan functions: a lost device at every
 * submit of a training run, memory that runs out, sizes that are refused. */
/* ctest labels: device */
#include "unit.h"

#include "tiny.h"

#include "device/device.h"
#include "pumice_models.h"

#include <stdio.h>
#include <unistd.h>

static struct faults {
    PFN_vkQueueSubmit submit;
    PFN_vkAllocateMemory allocate;
    int submits_until_lost; /* negative: never */
    int allocations_until_full;
    VkDeviceSize largest; /* allocation that is not refused */
    uint32_t refused;
} faults;

static VKAPI_ATTR VkResult VKAPI_CALL faulty_submit(VkQueue queue, uint32_t count,
                                                    const VkSubmitInfo *submits, VkFence fence)
{
    if (faults.submits_until_lost == 0) return VK_ERROR_DEVICE_LOST;
    if (faults.submits_until_lost > 0) faults.submits_until_lost--;
    return faults.submit(queue, count, submits, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL faulty_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                                      const VkAllocationCallbacks *callbacks,
                                                      VkDeviceMemory *out)
{
    if (faults.allocations_until_full-- == 0) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    if (info->allocationSize > faults.largest) {
        faults.refused++;
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    return faults.allocate(device, info, callbacks, out);
}

static pm_device *open_faulty(void)
{
    pm_device *device;
    pm_error error = {0};
    if (pm_device_open(NULL, &device, &error) != PM_OK) fail_msg("%s", error.message);
    faults = (struct faults){.submit = device->vk.vkQueueSubmit,
                             .allocate = device->vk.vkAllocateMemory,
                             .submits_until_lost = -1,
                             .allocations_until_full = -1,
                             .largest = UINT64_MAX};
    device->vk.vkQueueSubmit = faulty_submit;
    device->vk.vkAllocateMemory = faulty_allocate;
    return device;
}

static void lost_device_ends_the_run_and_keeps_the_checkpoint(void **state)
{
    char path[] = "/tmp/pumice-faults-XXXXXX";
    pm_dataset data = tiny_dataset();
    pm_recipe recipe;
    pm_error error = {0};
    (void)state;
    assert_true(mkstemp(path) >= 0);
    assert_int_equal(tiny_fitted_recipe(&recipe, &error), PM_OK);
    for (int after = 0; after < 40; after += 6) {
        pm_trainer *trainer;
        pm_model *model;
        float loss, norm;
        pm_device *device = open_faulty();
        assert_int_equal(pm_trainer_create(device, &recipe, &(pm_training_data){.pictures = &data}, NULL,
                                           &trainer, &error),
                         PM_OK);
        assert_int_equal(pm_trainer_run(trainer, 1, &error), PM_OK);
        assert_int_equal(pm_trainer_save(trainer, path, &error), PM_OK);
        faults.submits_until_lost = after;
        assert_int_equal(pm_trainer_run(trainer, 60, &error), PM_DEVICE_LOST);
        assert_non_null(strstr(error.message, "lost"));
        assert_int_equal(pm_trainer_run(trainer, 1, &error), PM_DEVICE_LOST); /* latched */
        assert_int_equal(pm_trainer_loss(trainer, &loss, &norm, &error), PM_DEVICE_LOST);
        assert_int_equal(pm_trainer_save(trainer, path, &error), PM_DEVICE_LOST);
        pm_trainer_destroy(trainer);
        pm_device_close(device);
        assert_int_equal(pm_model_open(path, &model, &error), PM_OK);
        assert_int_equal(pm_model_info_of(model).step, 1);
        pm_model_close(model);
    }
    (void)unlink(path);
    free(data.pixels);
    free(data.labels);
}

static void memory_that_runs_out_is_said(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_device *device = open_faulty();
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_output(g, pm_silu(g, pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1000))));
    faults.largest = 0;
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_NO_MEMORY);
    faults.largest = UINT64_MAX;
    assert_null(plan);
    assert_non_null(strstr(error.message, "MiB"));
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK); /* and can be tried again */
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
    pm_device_close(device);
}

enum { WIDE = 100000, TENSORS = 30 };

/* y_i = 2 (x_i / 2 + 1) - 2 for so many states x_i, all of which live at once. */
static void run_wide(pm_device *device, pm_plan_stats *stats, float *out)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_tensor x[TENSORS], y[TENSORS];
    static float values[WIDE];
    pm_graph *g = pm_graph_create();
    for (uint32_t i = 0; i < TENSORS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "x%u", i);
        x[i] = pm_state(g, name, PM_DTYPE_F32, PM_SHAPE(WIDE));
        pm_output(g, y[i] = pm_affine(g, pm_affine(g, x[i], 0.5f, 1.0f), 2.0f, -2.0f));
    }
    if (pm_plan_create(device, g, NULL, &plan, &error) != PM_OK) fail_msg("%s", error.message);
    for (uint32_t i = 0; i < TENSORS; i++) {
        for (uint32_t j = 0; j < WIDE; j++) values[j] = (float)(j % 1000 + i);
        assert_int_equal(pm_plan_write(plan, x[i], values, sizeof values, &error), PM_OK);
    }
    assert_int_equal(pm_plan_run(plan, 1, &error), PM_OK);
    for (uint32_t i = 0; i < TENSORS; i++)
        assert_int_equal(pm_plan_read(plan, y[i], out + i * WIDE, sizeof values, &error), PM_OK);
    *stats = pm_plan_stats_of(plan);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

static void a_driver_that_refuses_a_size_gets_smaller_blocks(void **state)
{
    static float out[TENSORS * WIDE];
    pm_plan_stats stats;
    pm_device *device = open_faulty();
    (void)state;
    faults.largest = 5 << 20; /* it needs 24 MB and advertises far more */
    run_wide(device, &stats, out);
    assert_true(faults.refused > 0);
    assert_true(stats.persistent_bytes + stats.activation_bytes > 4 * faults.largest);
    for (uint32_t i = 0; i < TENSORS * WIDE; i++) assert_true(out[i] == (float)(i % WIDE % 1000 + i / WIDE));
    assert_int_equal(device->allocated, 0); /* all is given back, what failed included */
    assert_int_equal(device->n_allocations, 0);
    pm_device_close(device);
}

static void more_allocations_than_the_driver_allows_are_not_tried(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_device *device = open_faulty();
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_output(g, pm_silu(g, pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1000))));
    device->max_allocations = 0;
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_NO_MEMORY);
    pm_graph_destroy(g);
    pm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_device_ends_the_run_and_keeps_the_checkpoint),
        cmocka_unit_test(memory_that_runs_out_is_said),
        cmocka_unit_test(a_driver_that_refuses_a_size_gets_smaller_blocks),
        cmocka_unit_test(more_allocations_than_the_driver_allows_are_not_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
