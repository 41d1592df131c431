/* A device that takes longer, put below the runtime into the device's table of Vulkan functions. What a
 * workgroup of each pipeline takes is measured first on the device as it is; from then on every submit takes
 * `factor` times that. Work goes on while the host does something else, as on a real device: a submit returns
 * at once, and its end is seen by those who wait for it. */
#ifndef PM_TESTS_SLOW_DEVICE_H
#define PM_TESTS_SLOW_DEVICE_H

#include "unit.h"

#include "base/clock.h"
#include "device/device.h"
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOW_PIPELINES = 512, SLOW_BUFFERS = 8192, SLOW_SUBMITS = 1 << 16 };

static struct slow {
    struct VolkDeviceTable real;
    double factor; /* 0: as it is */
    VkPipeline pipelines[SLOW_PIPELINES];
    double group_seconds[SLOW_PIPELINES];
    uint32_t n_pipelines;
    VkCommandBuffer buffers[SLOW_BUFFERS];
    double buffer_seconds[SLOW_BUFFERS];
    uint32_t n_buffers;
    double bound_seconds; /* of a group of the pipeline bound last */
    double ends[SLOW_SUBMITS], busy_until;
    uint64_t last_value;
    double longest; /* submit so far */
    uint32_t submits;
} slow;

static double *slow_buffer(VkCommandBuffer buffer)
{
    for (uint32_t i = 0; i < slow.n_buffers; i++) {
        if (slow.buffers[i] == buffer) return &slow.buffer_seconds[i];
    }
    assert_true(slow.n_buffers < SLOW_BUFFERS);
    slow.buffers[slow.n_buffers] = buffer;
    return &slow.buffer_seconds[slow.n_buffers++];
}

static VKAPI_ATTR VkResult VKAPI_CALL slow_begin(VkCommandBuffer buffer, const VkCommandBufferBeginInfo *info)
{
    *slow_buffer(buffer) = 0;
    return slow.real.vkBeginCommandBuffer(buffer, info);
}

static VKAPI_ATTR void VKAPI_CALL slow_bind(VkCommandBuffer buffer, VkPipelineBindPoint point,
                                            VkPipeline pipe)
{
    slow.bound_seconds = 0;
    for (uint32_t i = 0; i < slow.n_pipelines; i++) {
        if (slow.pipelines[i] == pipe) slow.bound_seconds = slow.group_seconds[i];
    }
    slow.real.vkCmdBindPipeline(buffer, point, pipe);
}

static VKAPI_ATTR void VKAPI_CALL slow_dispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y, uint32_t z)
{
    *slow_buffer(buffer) += slow.bound_seconds * (double)x * (double)y * (double)z;
    slow.real.vkCmdDispatch(buffer, x, y, z);
}

static VKAPI_ATTR VkResult VKAPI_CALL slow_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *submits,
                                                  VkFence fence)
{
    double seconds = 0, now = pm_seconds();
    const VkTimelineSemaphoreSubmitInfo *timeline = submits[0].pNext;
    for (uint32_t i = 0; i < submits[0].commandBufferCount; i++)
        seconds += slow.factor * *slow_buffer(submits[0].pCommandBuffers[i]);
    if (seconds > slow.longest) slow.longest = seconds;
    slow.submits++;
    slow.last_value = timeline->pSignalSemaphoreValues[0];
    assert_true(slow.last_value < SLOW_SUBMITS);
    slow.busy_until = (slow.busy_until > now ? slow.busy_until : now) + seconds;
    slow.ends[slow.last_value] = slow.busy_until;
    return slow.real.vkQueueSubmit(queue, count, submits, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL slow_wait(VkDevice device, const VkSemaphoreWaitInfo *info,
                                                uint64_t timeout)
{
    double left = slow.ends[info->pValues[0]] - pm_seconds();
    if (left > 0) {
        struct timespec delay = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        (void)nanosleep(&delay, NULL);
    }
    return slow.real.vkWaitSemaphores(device, info, timeout);
}

static VKAPI_ATTR VkResult VKAPI_CALL slow_counter(VkDevice device, VkSemaphore semaphore, uint64_t *value)
{
    VkResult result = slow.real.vkGetSemaphoreCounterValue(device, semaphore, value);
    while (*value > 0 && slow.ends[*value] > pm_seconds()) --*value;
    return result;
}

/* Takes the place of functions of an open device. */
static void slow_install(pm_device *device)
{
    memset(&slow, 0, sizeof slow);
    slow.real = device->vk;
    device->vk.vkBeginCommandBuffer = slow_begin;
    device->vk.vkCmdBindPipeline = slow_bind;
    device->vk.vkCmdDispatch = slow_dispatch;
    device->vk.vkQueueSubmit = slow_submit;
    device->vk.vkWaitSemaphores = slow_wait;
    device->vk.vkGetSemaphoreCounterValue = slow_counter;
}

static void slow_ignore(void *user, const char *text)
{
    (void)user, (void)text;
}

/* Learns what a workgroup of each pipeline of a plan takes, which must have been made with `profile`. */
static void slow_calibrate(pm_plan *plan)
{
    pm_error error = {0};
    double *least = calloc(plan->n_pieces + 64u, sizeof *least);
    slow.factor = 0;
    assert_int_equal(pm_plan_run(plan, PM_MEASURED_RUNS, &error), PM_OK);
    for (int run = 0; run < 4; run++) {
        assert_int_equal(pm_plan_run(plan, 1, &error), PM_OK);
        assert_int_equal(pm_plan_wait(plan, &error), PM_OK);
        pm_plan_explain(plan, slow_ignore, NULL);
        for (uint32_t i = 0; i < plan->n_pieces; i++) {
            double seconds = plan->pieces[i].milliseconds * 1e-3;
            if (run == 0 || seconds < least[i]) least[i] = seconds;
        }
    }
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        const pm_piece *piece = &plan->pieces[i];
        double each = least[i] / ((double)piece->groups[0] * piece->groups[1] * piece->groups[2]);
        uint32_t p = 0;
        while (p < slow.n_pipelines && slow.pipelines[p] != piece->pipeline.pipeline) p++;
        assert_true(p < SLOW_PIPELINES);
        if (p == slow.n_pipelines) slow.n_pipelines++;
        slow.pipelines[p] = piece->pipeline.pipeline;
        if (each > slow.group_seconds[p]) slow.group_seconds[p] = each;
    }
    free(least);
}

#endif
