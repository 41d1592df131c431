/* Copies of whole tensors from and to the host: straight where memory is mapped, through a staging buffer
 * where not. */
#include "plan/plan.h"

#include "base/status.h"

#include <string.h>

#define STAGING_BYTES ((VkDeviceSize)4 << 20)

static pm_status staging_ready(pm_plan *plan, pm_error *error)
{
    if (plan->staging.buffer) return PM_OK;
    return pm_block_create(plan->device, STAGING_BYTES, plan->device->transfer_type, true, &plan->staging,
                           error);
}

/* Copies between the staging buffer and a block, and waits. */
static pm_status copy_staged(pm_plan *plan, uint32_t block, VkDeviceSize offset, VkDeviceSize bytes,
                             bool to_device, pm_error *error)
{
    const struct VolkDeviceTable *vk = &plan->device->vk;
    VkMemoryBarrier after = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    VkBufferCopy region = {to_device ? 0 : offset, to_device ? offset : 0, bytes};
    VkBuffer from = to_device ? plan->staging.buffer : plan->blocks[block].buffer;
    VkBuffer to = to_device ? plan->blocks[block].buffer : plan->staging.buffer;
    VkResult result = pm_plan_begin_once(plan);
    if (result == VK_SUCCESS) {
        vk->vkCmdCopyBuffer(plan->once, from, to, 1, &region);
        vk->vkCmdPipelineBarrier(plan->once, VK_PIPELINE_STAGE_TRANSFER_BIT,
                                 VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                     VK_PIPELINE_STAGE_TRANSFER_BIT,
                                 0, 1, &after, 0, NULL, 0, NULL);
        result = vk->vkEndCommandBuffer(plan->once);
    }
    if (result != VK_SUCCESS) return pm_vk_fail(plan->device, result, "recording a copy", error);
    pm_status status = pm_queue_submit(plan->device, 1, &plan->once, &plan->last_value, error);
    return status == PM_OK ? pm_queue_wait(plan->device, plan->last_value, error) : status;
}

/* The common part of reading and writing: `to_device` copies from `data`, else into it. */
static pm_status transfer(pm_plan *plan, pm_tensor tensor, void *data, size_t bytes, bool to_device,
                          pm_error *error)
{
    if (bytes != pm_bytes_of(plan->graph, tensor) || bytes == 0) {
        return pm_fail(error, PM_BAD_USAGE, "%s: %zu bytes given for a tensor of %zu",
                       pm_name_of(plan->graph, tensor), bytes, pm_bytes_of(plan->graph, tensor));
    }
    const pm_tensor_info *info = pm_info(plan->graph, tensor);
    if (info->base >= plan->n_tensors || !plan->placements[info->base].used) {
        return pm_fail(error, PM_BAD_USAGE, "a tensor that the plan does not use cannot be read or written");
    }
    if (plan->device->compile_only) {
        if (!to_device) memset(data, 0, bytes);
        return PM_OK;
    }
    pm_status status = pm_plan_wait(plan, error);
    pm_range range = pm_plan_range(plan, tensor);
    pm_block *block = &plan->blocks[range.block];
    if (status != PM_OK) return status;
    if (block->mapped) {
        if (to_device) {
            memcpy(block->mapped + range.begin, data, bytes);
        } else {
            memcpy(data, block->mapped + range.begin, bytes);
        }
        return PM_OK;
    }
    status = staging_ready(plan, error);
    for (size_t done = 0; status == PM_OK && done < bytes; done += STAGING_BYTES) {
        size_t part = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        if (to_device) memcpy(plan->staging.mapped, (char *)data + done, part);
        status = copy_staged(plan, range.block, range.begin + done, part, to_device, error);
        if (status == PM_OK && !to_device) memcpy((char *)data + done, plan->staging.mapped, part);
    }
    return status;
}

pm_status pm_plan_read(pm_plan *plan, pm_tensor tensor, void *data, size_t bytes, pm_error *error)
{
    return transfer(plan, tensor, data, bytes, false, error);
}

pm_status pm_plan_write(pm_plan *plan, pm_tensor tensor, const void *data, size_t bytes, pm_error *error)
{
    /* Only read from: `to_device` is true. */
    return transfer(plan, tensor, (void *)(uintptr_t)data, bytes, true, error);
}
