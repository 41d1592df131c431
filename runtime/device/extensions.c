/* Extensions of a device that are used where they are offered; see device.h. */
#include "device/device.h"
#include "device/matrix_units.h"

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

/* All of a device, to be freed; NULL with *count 0 when they cannot be had. */
static VkExtensionProperties *list_of(VkPhysicalDevice physical, uint32_t *count)
{
    *count = 0;
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, count, NULL) != VK_SUCCESS) *count = 0;
    VkExtensionProperties *list = calloc(*count + 1u, sizeof *list);
    VkResult result = list ? vkEnumerateDeviceExtensionProperties(physical, NULL, count, list)
                           : VK_ERROR_OUT_OF_HOST_MEMORY;
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) *count = 0;
    return list;
}

bool pm_tells_budget(VkPhysicalDevice physical)
{
    uint32_t count;
    VkExtensionProperties *list = list_of(physical, &count);
    bool tells = has(list, count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    free(list);
    return tells;
}

bool pm_has_matrix_units(VkPhysicalDevice physical)
{
    uint32_t count;
    VkExtensionProperties *list = list_of(physical, &count);
    bool both = has(list, count, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) &&
                has(list, count, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    free(list);
    return both;
}

uint32_t pm_device_extensions(pm_device *device, const char *names[PM_MAX_EXTENSIONS])
{
    uint32_t count, chosen = 0;
    VkExtensionProperties *list = list_of(device->physical, &count);
    if (pm_on(&device->rules, PM_MEMORY_BUDGET)) names[chosen++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    const char *statistics = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    device->has_statistics = device->compile_only && has(list, count, statistics);
    if (device->has_statistics) names[chosen++] = statistics;
    if (pm_on(&device->rules, PM_MATRIX_UNITS)) {
        names[chosen++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
        names[chosen++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    }
    if (has(list, count, PORTABILITY_SUBSET)) names[chosen++] = PORTABILITY_SUBSET;
    free(list);
    return chosen;
}
