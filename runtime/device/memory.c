/* Blocks of device memory; see device.h. */
#include "device/device.h"

#include "base/status.h"

#include <string.h>

pm_status pm_block_create(pm_device *device, VkDeviceSize size, uint32_t memory_type, bool map, pm_block *out,
                          pm_error *error)
{
    memset(out, 0, sizeof *out);
    out->size = size;
    VkBufferCreateInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
    };
    VkResult result = device->vk.vkCreateBuffer(device->device, &buffer, NULL, &out->buffer);
    if (result == VK_SUCCESS) {
        VkMemoryRequirements needs;
        device->vk.vkGetBufferMemoryRequirements(device->device, out->buffer, &needs);
        VkMemoryAllocateInfo allocate = {
            .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
            .allocationSize = needs.size,
            .memoryTypeIndex = memory_type,
        };
        result = device->vk.vkAllocateMemory(device->device, &allocate, NULL, &out->memory);
    }
    if (result == VK_SUCCESS) {
        result = device->vk.vkBindBufferMemory(device->device, out->buffer, out->memory, 0);
    }
    void *mapped = NULL;
    if (result == VK_SUCCESS && map) {
        result = device->vk.vkMapMemory(device->device, out->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    }
    if (result != VK_SUCCESS) {
        pm_block_destroy(device, out);
        if (result == VK_ERROR_DEVICE_LOST) return pm_vk_fail(device, result, "allocating memory", error);
        return pm_fail(error, PM_NO_MEMORY, "%s: cannot allocate %.1f MiB (VkResult %d)", device->facts.name,
                       (double)size / 1048576.0, (int)result);
    }
    out->mapped = mapped;
    return PM_OK;
}

void pm_block_destroy(pm_device *device, pm_block *block)
{
    if (block->buffer) device->vk.vkDestroyBuffer(device->device, block->buffer, NULL);
    if (block->memory) device->vk.vkFreeMemory(device->device, block->memory, NULL);
    memset(block, 0, sizeof *block);
}
