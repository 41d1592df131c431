/* Submitting to the one queue and waiting for it, by a timeline semaphore; see device.h. */
#include "device/device.h"

#include "base/clock.h"
#include "base/status.h"

pm_status pm_vk_fail(pm_device *device, VkResult result, const char *what, pm_error *error)
{
    switch (result) {
    case VK_ERROR_DEVICE_LOST:
        device->lost = true;
        return pm_fail(error, PM_DEVICE_LOST, "%s: the device was lost while %s", device->facts.name, what);
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return pm_fail(error, PM_NO_MEMORY, "%s: out of host memory while %s", device->facts.name, what);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return pm_fail(error, PM_NO_MEMORY, "%s: out of device memory while %s", device->facts.name, what);
    default:
        return pm_fail(error, PM_FAILED, "%s: VkResult %d while %s", device->facts.name, (int)result, what);
    }
}

pm_status pm_queue_submit(pm_device *device, uint32_t count, const VkCommandBuffer *buffers, uint64_t *value,
                          pm_error *error)
{
    if (device->lost) return pm_fail(error, PM_DEVICE_LOST, "%s: the device was lost", device->facts.name);
    uint64_t signal = device->submitted + 1;
    VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &signal,
    };
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &timeline,
        .commandBufferCount = count,
        .pCommandBuffers = buffers,
        .signalSemaphoreCount = 1,
        .pSignalSemaphores = &device->timeline,
    };
    double begun = pm_thread_seconds();
    VkResult result = device->vk.vkQueueSubmit(device->queue, 1, &submit, VK_NULL_HANDLE);
    device->driver_seconds += pm_thread_seconds() - begun;
    if (result != VK_SUCCESS) return pm_vk_fail(device, result, "submitting work", error);
    device->submitted = signal;
    *value = signal;
    return PM_OK;
}

pm_status pm_queue_wait(pm_device *device, uint64_t value, pm_error *error)
{
    if (device->lost) return pm_fail(error, PM_DEVICE_LOST, "%s: the device was lost", device->facts.name);
    VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &device->timeline,
        .pValues = &value,
    };
    double begun = pm_thread_seconds();
    VkResult result = device->vk.vkWaitSemaphores(device->device, &info, UINT64_MAX);
    device->driver_seconds += pm_thread_seconds() - begun;
    return result == VK_SUCCESS ? PM_OK : pm_vk_fail(device, result, "waiting for work", error);
}

bool pm_queue_reached(pm_device *device, uint64_t value)
{
    uint64_t reached = 0;
    double begun = pm_thread_seconds();
    VkResult result = device->vk.vkGetSemaphoreCounterValue(device->device, device->timeline, &reached);
    device->driver_seconds += pm_thread_seconds() - begun;
    return result == VK_SUCCESS && reached >= value;
}
