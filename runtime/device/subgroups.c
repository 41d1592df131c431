/* What a device says of sizes of subgroups; see subgroups.h. */
#include "device/subgroups.h"

void pm_subgroups_find(VkPhysicalDevice physical, pm_device_facts *facts)
{
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT has = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &has};
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &sizes};
    vkGetPhysicalDeviceFeatures2(physical, &features);
    vkGetPhysicalDeviceProperties2(physical, &properties);
    facts->subgroup_sizes[0] = sizes.minSubgroupSize;
    facts->subgroup_sizes[1] = sizes.maxSubgroupSize;
    facts->subgroups_asked =
        has.subgroupSizeControl && (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    facts->most_subgroups = sizes.maxComputeWorkgroupSubgroups;
}

void pm_subgroups_enable(VkPhysicalDeviceVulkan12Features *v12, bool full,
                         VkPhysicalDeviceSubgroupSizeControlFeaturesEXT *features)
{
    *features = (VkPhysicalDeviceSubgroupSizeControlFeaturesEXT){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
        .pNext = v12->pNext,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = full};
    v12->pNext = features;
}
