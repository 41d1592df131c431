/* Extensions of a device that are used where they are offered; see device.h. */
#include "device/device.h"
#include "device/matrix_units.h"
#include "device/subgroups.h"

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

pm_offered pm_extensions_offered(VkPhysicalDevice physical)
{
    uint32_t count = 0;
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL) != VK_SUCCESS) count = 0;
    VkExtensionProperties *list = calloc(count + 1u, sizeof *list);
    VkResult result = list ? vkEnumerateDeviceExtensionProperties(physical, NULL, &count, list)
                           : VK_ERROR_OUT_OF_HOST_MEMORY;
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) count = 0;
    bool subgroups = has(list, count, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    pm_offered offered = {
        .budget = has(list, count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME),
        .subgroups = subgroups,
        .matrix = subgroups && has(list, count, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME),
        .bf16 = has(list, count, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME),
        .statistics = has(list, count, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME),
        .portability = has(list, count, PORTABILITY_SUBSET),
    };
    free(list);
    return offered;
}

uint32_t pm_device_extensions(pm_device *device, const pm_offered *offered,
                              const char *names[PM_MAX_EXTENSIONS])
{
    uint32_t chosen = 0;
    device->has_statistics = device->compile_only && offered->statistics;
    if (pm_on(&device->rules, PM_MEMORY_BUDGET)) names[chosen++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    if (device->has_statistics) names[chosen++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    bool matrix = pm_on(&device->rules, PM_MATRIX_UNITS);
    if (matrix) names[chosen++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    if (matrix || pm_asks_subgroups(&device->rules))
        names[chosen++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    if (matrix && device->rules.bf16) names[chosen++] = VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME;
    if (offered->portability) names[chosen++] = PORTABILITY_SUBSET;
    return chosen;
}
