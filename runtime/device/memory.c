/* Memory of a device: which types serve what, how much is left, and blocks; see device.h. */
#include "device/device.h"

#include "base/status.h"

#include <string.h>

#define BLOCK_USAGE                                                                  \
    (VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT | \
     VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT)

/* Less memory than this is not worth an allocation of its own: drivers round up as far. It is no power of two
 * because of PM_EVEN_VIEWS. */
#define LEAST_BYTES (((VkDeviceSize)1 << 20) + 256)

/* ---- Types --------------------------------------------------------------------------------------------- */

/* The type with these properties whose heap is largest: a small window into a discrete GPU's memory often
 * comes first. */
static uint32_t find_memory_type(const pm_device *device, uint32_t allowed, VkMemoryPropertyFlags wanted)
{
    const VkMemoryPropertyFlags strange = VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |
                                          VK_MEMORY_PROPERTY_PROTECTED_BIT |
                                          VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD;
    uint32_t best = UINT32_MAX;
    VkDeviceSize most = 0;
    for (uint32_t i = 0; i < device->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &device->memory.memoryTypes[i];
        VkDeviceSize size = device->memory.memoryHeaps[type->heapIndex].size;
        if (!(allowed >> i & 1u) || (type->propertyFlags & wanted) != wanted) continue;
        if (type->propertyFlags & strange || size <= most) continue;
        best = i;
        most = size;
    }
    return best;
}

/* The types that our buffers can have: the same for every buffer of one usage. */
static uint32_t allowed_types(pm_device *device)
{
    VkBuffer buffer;
    VkMemoryRequirements needs = {.memoryTypeBits = 0};
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = 1 << 20, .usage = BLOCK_USAGE};
    if (device->vk.vkCreateBuffer(device->device, &info, NULL, &buffer) != VK_SUCCESS) return 0;
    device->vk.vkGetBufferMemoryRequirements(device->device, buffer, &needs);
    device->vk.vkDestroyBuffer(device->device, buffer, NULL);
    return needs.memoryTypeBits;
}

pm_status pm_memory_choose(pm_device *device, bool no_mapped_memory, pm_error *error)
{
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    uint32_t allowed = allowed_types(device);
    vkGetPhysicalDeviceMemoryProperties(device->physical, &device->memory);
    uint32_t mapped = find_memory_type(device, allowed, local | host | cached);
    if (mapped == UINT32_MAX) mapped = find_memory_type(device, allowed, local | host);
    device->storage_mapped = device->facts.unified_memory && mapped != UINT32_MAX && !no_mapped_memory;
    device->storage_type = device->storage_mapped ? mapped : find_memory_type(device, allowed, local);
    if (device->storage_type == UINT32_MAX) device->storage_type = find_memory_type(device, allowed, 0);
    device->transfer_type = find_memory_type(device, allowed, host | cached);
    if (device->transfer_type == UINT32_MAX) device->transfer_type = find_memory_type(device, allowed, host);
    if (device->storage_type != UINT32_MAX && device->transfer_type != UINT32_MAX) return PM_OK;
    return pm_fail(error, PM_NO_DEVICE, "%s: the driver has no memory for buffers", device->facts.name);
}

/* ---- How much is left ---------------------------------------------------------------------------------- */

static uint32_t heap_of(const pm_device *device, uint32_t type)
{
    return device->memory.memoryTypes[type].heapIndex;
}

uint64_t pm_device_memory_free(const pm_device *device)
{
    uint32_t heap = heap_of(device, device->storage_type);
    uint64_t total = device->memory.memoryHeaps[heap].size;
    if (device->facts.memory_bytes < total) total = device->facts.memory_bytes;
    uint64_t left = total > device->allocated ? total - device->allocated : 0;
    if (!pm_on(&device->rules, PM_MEMORY_BUDGET)) return left;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget};
    vkGetPhysicalDeviceMemoryProperties2(device->physical, &properties);
    uint64_t may = budget.heapBudget[heap], used = budget.heapUsage[heap];
    uint64_t spare = may > used ? may - used : 0;
    return spare < left ? spare : left;
}

/* ---- Blocks -------------------------------------------------------------------------------------------- */

static VkResult allocate(pm_device *device, pm_block *block, bool map)
{
    VkMemoryRequirements needs;
    device->vk.vkGetBufferMemoryRequirements(device->device, block->buffer, &needs);
    if (device->n_allocations >= device->max_allocations) return VK_ERROR_TOO_MANY_OBJECTS;
    if (!(needs.memoryTypeBits >> block->memory_type & 1u)) return VK_ERROR_FEATURE_NOT_PRESENT;
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs.size,
        .memoryTypeIndex = block->memory_type,
    };
    VkResult result = device->vk.vkAllocateMemory(device->device, &info, NULL, &block->memory);
    if (result != VK_SUCCESS) return result;
    block->allocated = needs.size;
    device->n_allocations++;
    if (heap_of(device, block->memory_type) == heap_of(device, device->storage_type))
        device->allocated += needs.size;
    result = device->vk.vkBindBufferMemory(device->device, block->buffer, block->memory, 0);
    void *mapped = NULL;
    if (result == VK_SUCCESS && map)
        result = device->vk.vkMapMemory(device->device, block->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    block->mapped = mapped;
    return result;
}

pm_status pm_block_create(pm_device *device, VkDeviceSize size, uint32_t memory_type, bool map, pm_block *out,
                          pm_error *error)
{
    *out = (pm_block){.size = size, .memory_type = memory_type};
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size < LEAST_BYTES ? LEAST_BYTES : size,
        .usage = BLOCK_USAGE,
    };
    VkResult result = device->vk.vkCreateBuffer(device->device, &info, NULL, &out->buffer);
    if (result == VK_SUCCESS) result = allocate(device, out, map);
    if (result == VK_SUCCESS) return PM_OK;
    pm_block_destroy(device, out);
    if (result == VK_ERROR_DEVICE_LOST) return pm_vk_fail(device, result, "allocating memory", error);
    if (result == VK_ERROR_TOO_MANY_OBJECTS) {
        return pm_fail(error, PM_NO_MEMORY, "%s: the driver allows %u allocations, and all are in use",
                       device->facts.name, device->max_allocations);
    }
    return pm_fail(error, PM_NO_MEMORY, "%s: cannot allocate %.1f MiB (VkResult %d)", device->facts.name,
                   (double)size / 1048576.0, (int)result);
}

void pm_block_destroy(pm_device *device, pm_block *block)
{
    if (block->buffer) device->vk.vkDestroyBuffer(device->device, block->buffer, NULL);
    if (block->memory) {
        device->vk.vkFreeMemory(device->device, block->memory, NULL);
        device->n_allocations--;
        if (heap_of(device, block->memory_type) == heap_of(device, device->storage_type))
            device->allocated -= block->allocated;
    }
    memset(block, 0, sizeof *block);
}
