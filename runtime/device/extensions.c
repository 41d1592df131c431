/* Extensions of a device that are used where they are offered; see device.h. */
#include "device/device.h"

#include <stdlib.h>
#include <string.h>

/* Of drivers on top of another API (MoltenVK): what offers it must have it enabled. The header guards the
 * name as a beta extension. */
#define PORTABILITY_SUBSET "VK_KHR_portability_subset"

static bool has(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].extensionName, name) == 0) return true;
    }
    return false;
}

uint32_t pm_device_extensions(pm_device *device, const char *names[PM_MAX_EXTENSIONS])
{
    uint32_t count = 0, chosen = 0;
    if (vkEnumerateDeviceExtensionProperties(device->physical, NULL, &count, NULL) != VK_SUCCESS) return 0;
    VkExtensionProperties *list = calloc(count + 1u, sizeof *list);
    if (!list) return 0;
    VkResult result = vkEnumerateDeviceExtensionProperties(device->physical, NULL, &count, list);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) count = 0;
    device->has_memory_budget = has(list, count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    if (device->has_memory_budget) names[chosen++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    const char *statistics = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    device->has_statistics = device->compile_only && has(list, count, statistics);
    if (device->has_statistics) names[chosen++] = statistics;
    if (has(list, count, PORTABILITY_SUBSET)) names[chosen++] = PORTABILITY_SUBSET;
    free(list);
    return chosen;
}
