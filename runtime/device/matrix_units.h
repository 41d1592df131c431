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

#ifndef VK_KHR_shader_bfloat16
#define VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME "VK_KHR_shader_bfloat16"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR ((VkStructureType)1000141000)
#define VK_COMPONENT_TYPE_BFLOAT16_KHR 1000141000

typedef struct VkPhysicalDeviceShaderBfloat16FeaturesKHR {
    VkStructureType sType;
    void *pNext;
    VkBool32 shaderBFloat16Type, shaderBFloat16DotProduct, shaderBFloat16CooperativeMatrix;
} VkPhysicalDeviceShaderBfloat16FeaturesKHR;
#endif

/* Structs to chain behind those of a device's creation, so that kernels for matrix units run there. */
typedef struct pm_matrix_features {
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bf16; /* chained if it is used */
} pm_matrix_features;

/* Sets facts->matrix, facts->matrix_bf16 and facts->matrix_subgroup, of a device that has these extensions
 * (`bf16`: and VK_KHR_shader_bfloat16): to the largest fragments of f16 x f16 -> f32 and of
 * bf16 x bf16 -> f32 that a subgroup multiplies, or to 0 where something is missing, in the device or in this
 * build. After pm_subgroups_find. */
void pm_matrix_units_find(VkInstance instance, VkPhysicalDevice physical, bool bf16, pm_device_facts *facts);

/* Chains what has to be enabled behind v12, beside full subgroups (device/subgroups.h); `bf16`: for fragments
 * of it. */
void pm_matrix_units_enable(VkPhysicalDeviceVulkan12Features *v12, bool bf16, pm_matrix_features *features);

#endif
