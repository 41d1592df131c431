/* The driver's pipeline cache on disk. Drivers check such a blob less than they should (one flipped bit has
 * crashed one), so that it lies in a file that is checked before (cache_file.h). */
#include "device/cache_file.h"
#include "device/device.h"

#include <stdlib.h>

#define MAGIC "PUMICE01"

void pm_pipeline_cache_load(pm_device *device)
{
    size_t bytes = 0;
    pm_cache_file_path(device, "pipelines", device->cache_path);
    void *blob = device->cache_path[0] ? pm_cache_file_read(device, device->cache_path, MAGIC, &bytes) : NULL;
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = bytes,
        .pInitialData = blob,
    };
    if (device->vk.vkCreatePipelineCache(device->device, &info, NULL, &device->cache) != VK_SUCCESS) {
        device->cache = VK_NULL_HANDLE;
    }
    free(blob);
}

void pm_pipeline_cache_save(pm_device *device)
{
    size_t bytes = 0;
    if (!device->cache || !device->cache_path[0] || device->lost) return;
    if (device->vk.vkGetPipelineCacheData(device->device, device->cache, &bytes, NULL) != VK_SUCCESS) return;
    if (bytes == 0) return;
    void *blob = malloc(bytes);
    if (!blob) return;
    if (device->vk.vkGetPipelineCacheData(device->device, device->cache, &bytes, blob) == VK_SUCCESS)
        pm_cache_file_write(device, device->cache_path, MAGIC, blob, bytes);
    free(blob);
}
