/* broken_vulkan core|sync|practices|gpu: breaks one rule on purpose, of those that this part of the
 * validation layer watches over: shows that with_validation.sh hears it. Exits 77 where there is no device.
 */
#include "plan/plan.h"

#include "pumice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pm_device *device;
static pm_graph *graph;
static pm_plan *plan;

/* y = f(f(x)), of which the second reads what the first wrote. */
static void make_plan(void)
{
    pm_error error = {0};
    graph = pm_graph_create();
    pm_tensor x = pm_state(graph, "x", PM_DTYPE_F32, PM_SHAPE(100000));
    pm_output(graph, pm_silu(graph, pm_silu(graph, x)));
    if (pm_plan_create(device, graph, NULL, &plan, &error) == PM_OK) return;
    fprintf(stderr, "%s\n", error.message);
    exit(77);
}

static void unmake_plan(void)
{
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

/* A buffer without any bytes. */
static void break_core(void)
{
    VkBuffer buffer;
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = 0,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    (void)device->vk.vkCreateBuffer(device->device, &info, NULL, &buffer);
}

/* The plan without the barrier between its two dispatches. */
static void break_sync(void)
{
    make_plan();
    if (pm_plan_begin_once(plan) == VK_SUCCESS) {
        for (uint32_t i = 0; i < plan->n_pieces; i++) {
            plan->pieces[i].barrier = false;
            pm_plan_record_piece(plan, plan->once, &plan->pieces[i], -1);
        }
        (void)device->vk.vkEndCommandBuffer(plan->once);
    }
    unmake_plan();
}

/* An allocation of next to nothing. */
static void break_practices(void)
{
    VkDeviceMemory memory;
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = 4096,
                                 .memoryTypeIndex = device->storage_type};
    if (device->vk.vkAllocateMemory(device->device, &info, NULL, &memory) == VK_SUCCESS)
        device->vk.vkFreeMemory(device->device, memory, NULL);
}

/* The plan with a first dispatch that is told of twice as many elements as it has bound. Not to be run
 * without the layer: a driver need not survive it. */
static void break_gpu(void)
{
    pm_error error = {0};
    make_plan();
    if (pm_plan_begin_once(plan) == VK_SUCCESS) {
        pm_piece piece = plan->pieces[0];
        pm_dispatch *dispatch = &plan->dispatches[piece.dispatch];
        for (uint32_t i = 1; i < dispatch->n_push; i++) {
            if (dispatch->push[i] >= 25000 && dispatch->push[i] <= 100000) dispatch->push[i] *= 2;
        }
        piece.groups[dispatch->split_axis] *= 2;
        pm_plan_record_piece(plan, plan->once, &piece, -1);
        (void)device->vk.vkEndCommandBuffer(plan->once);
        if (pm_queue_submit(device, 1, &plan->once, &plan->last_value, &error) == PM_OK)
            (void)pm_queue_wait(device, plan->last_value, &error);
    }
    unmake_plan();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } rules[] = {
        {"core", break_core}, {"sync", break_sync}, {"practices", break_practices}, {"gpu", break_gpu}};
    pm_error error = {0};
    if (pm_device_open(NULL, &device, &error) != PM_OK) return 77;
    for (size_t i = 0; argc == 2 && i < sizeof rules / sizeof rules[0]; i++) {
        if (strcmp(argv[1], rules[i].name) == 0) rules[i].run();
    }
    pm_device_close(device);
    return 0;
}
