/* Sizes of subgroups that a device lets be asked for, kernel by kernel (VK_EXT_subgroup_size_control). */
#ifndef PM_DEVICE_SUBGROUPS_H
#define PM_DEVICE_SUBGROUPS_H

#include "device/device.h"

/* Sets facts->subgroup_sizes and what follows it, of a device that has the extension. */
void pm_subgroups_find(VkPhysicalDevice physical, pm_device_facts *facts);

/* Whether any kernel but those for matrix units asks for a size. */
static inline bool pm_asks_subgroups(const pm_rules *rules)
{
    return rules->subgroup || rules->few_subgroup;
}

/* Chains what has to be enabled behind v12. `full`: for kernels of which every subgroup must be full, too. */
void pm_subgroups_enable(VkPhysicalDeviceVulkan12Features *v12, bool full,
                         VkPhysicalDeviceSubgroupSizeControlFeaturesEXT *features);

#endif
