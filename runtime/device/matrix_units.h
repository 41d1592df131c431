/* Matrix units: what Vulkan's headers say of VK_KHR_cooperative_matrix, for headers that are older, and what
 * is asked of a device. */
#ifndef PM_DEVICE_MATRIX_UNITS_H
#define PM_DEVICE_MATRIX_UNITS_H

#include "device/device.h"

#ifndef VK_KHR_cooperative_matrix
#define VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME "VK_KHR_cooperative_matrix"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR ((VkStructureType)1000506000)
#define VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR ((VkStructureType)1000506001)
#define VK_COMPONENT_TYPE_FLOAT16_KHR 0
#define VK_COMPONENT_TYPE_FLOAT32_KHR 1
#define VK_SCOPE_SUBGROUP_KHR 3

typedef struct VkPhysicalDeviceCooperativeMatrixFeaturesKHR {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;

typedef struct VkCooperativeMatrixPropertiesKHR {
    VkStructureType sType;
    void *pNext;
    uint32_t MSize, NSize, KSize;
    int AType, BType, CType, ResultType; /* VkComponentTypeKHR */
    VkBool32 saturatingAccumulation;
    int scope; /* VkScopeKHR */
} VkCooperativeMatrixPropertiesKHR;

typedef VkResult(VKAPI_PTR *PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(
    VkPhysicalDevice physical, uint32_t *count, VkCooperativeMatrixPropertiesKHR *properties);
#endif

/* Structs to chain behind those of a device's creation, so that kernels for matrix units run there. */
typedef struct pm_matrix_features {
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT subgroups;
} pm_matrix_features;

/* Sets facts->matrix and facts->matrix_subgroup, of a device that has these extensions: to the largest
 * fragment of f16 x f16 -> f32 that a subgroup multiplies, or to 0 where something is missing, in the device
 * or in this build. */
void pm_matrix_units_find(VkInstance instance, VkPhysicalDevice physical, pm_device_facts *facts);

/* Chains what has to be enabled behind v12, which is the last of its chain. */
void pm_matrix_units_enable(VkPhysicalDeviceVulkan12Features *v12, pm_matrix_features *features);

#endif
