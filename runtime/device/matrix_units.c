/* Whether a device has matrix units that the kernels of precision `fast` can use; see matrix_units.h. */
#include "device/matrix_units.h"

#include "device/shaders_embedded.h"
#include "device/subgroups.h"

#include <string.h>

enum { MOST_SHAPES = 64 };

/* Whether the compiler that built this knew the extension that such shaders need. */
static bool is_built(uint32_t variant)
{
    for (uint32_t i = 0; i < pm_shader_binary_count; i++) {
        if (pm_shader_binaries[i].variant == variant) return true;
    }
    return false;
}

/* `type`: of the operands' elements. */
static bool fits(const VkCooperativeMatrixPropertiesKHR *p, int type)
{
    bool types = (int)p->AType == type && (int)p->BType == type &&
                 p->CType == VK_COMPONENT_TYPE_FLOAT32_KHR && p->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR;
    /* Of which blocks of 64 and of 32 terms are multiples, and whose rows are whole vec4s. */
    bool sizes = p->MSize && p->NSize && p->KSize && 32 % p->MSize == 0 && 32 % p->NSize == 0 &&
                 32 % p->KSize == 0 && p->MSize % 4 == 0 && p->NSize % 4 == 0 && p->KSize % 4 == 0;
    return types && sizes && p->scope == VK_SCOPE_SUBGROUP_KHR && !p->saturatingAccumulation;
}

static void find_shape(VkInstance instance, VkPhysicalDevice physical, int type, uint32_t shape[3])
{
    VkCooperativeMatrixPropertiesKHR list[MOST_SHAPES];
    uint32_t count = MOST_SHAPES, largest = 0;
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < MOST_SHAPES; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    VkResult result = get ? get(physical, &count, list) : VK_ERROR_EXTENSION_NOT_PRESENT;
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = list[i].MSize * list[i].NSize * list[i].KSize;
        if (!fits(&list[i], type) || size <= largest) continue;
        largest = size;
        shape[0] = list[i].MSize;
        shape[1] = list[i].NSize;
        shape[2] = list[i].KSize;
    }
}

/* Subgroups of the usual size; of the least on Intel, whose matrix units are that wide. 0: there are several
 * sizes, and none can be asked for; or the units are not real. Mesa offers them on Intel's GPUs before Xe2,
 * whose subgroups may have 8 lanes, as well: most have none and multiply by ordinary instructions (in our
 * kernels 350 to 480 cycles for what takes 12 without, by the compiler's estimate, with registers spilled),
 * and on DG2, which has some, other engines found them slower than nothing. The compiler of Mesa's CPU driver
 * (26.2) crashes over matrices unless a subgroup has 8 lanes, which is a vector of 256 bits. */
static uint32_t subgroup_of(const pm_device_facts *facts)
{
    enum { INTEL = 0x8086, LEAST_OF_XE2 = 16, OF_LAVAPIPE = 8 };
    const uint32_t *sizes = facts->subgroup_sizes;
    bool is_intel = facts->vendor_id == INTEL;
    uint32_t size = is_intel ? sizes[0] : facts->subgroup_size;
    bool can = sizes[0] == sizes[1] || facts->subgroups_asked;
    bool real = !is_intel || size >= LEAST_OF_XE2;
    bool crashes = facts->type == PM_DEVICE_CPU && size != OF_LAVAPIPE;
    return can && real && !crashes && size >= sizes[0] && size <= sizes[1] ? size : 0;
}

void pm_matrix_units_find(VkInstance instance, VkPhysicalDevice physical, bool bf16, pm_device_facts *facts)
{
    pm_matrix_features has;
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT subgroups;
    VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &v12};
    pm_matrix_units_enable(&v12, bf16, &has);
    pm_subgroups_enable(&v12, true, &subgroups);
    vkGetPhysicalDeviceFeatures2(physical, &features);
    if (!is_built(PM_SHADER_MATRIX) || !v12.shaderFloat16 || !v12.vulkanMemoryModel ||
        !has.matrix.cooperativeMatrix || !subgroups.subgroupSizeControl || !subgroups.computeFullSubgroups)
        return;
    facts->matrix_subgroup = subgroup_of(facts);
    if (facts->matrix_subgroup == 0) return;
    find_shape(instance, physical, VK_COMPONENT_TYPE_FLOAT16_KHR, facts->matrix);
    bf16 = bf16 && has.bf16.shaderBFloat16Type && has.bf16.shaderBFloat16CooperativeMatrix;
    if (bf16 && is_built(PM_SHADER_MATRIX | PM_SHADER_BF16))
        find_shape(instance, physical, VK_COMPONENT_TYPE_BFLOAT16_KHR, facts->matrix_bf16);
}

void pm_matrix_units_enable(VkPhysicalDeviceVulkan12Features *v12, bool bf16, pm_matrix_features *features)
{
    v12->shaderFloat16 = v12->vulkanMemoryModel = VK_TRUE;
    *features = (pm_matrix_features){
        .matrix = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
                   .pNext = v12->pNext,
                   .cooperativeMatrix = VK_TRUE},
        .bf16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR,
                 .pNext = &features->matrix,
                 .shaderBFloat16Type = VK_TRUE,
                 .shaderBFloat16CooperativeMatrix = VK_TRUE}};
    v12->pNext = bf16 ? (void *)&features->bf16 : &features->matrix;
}
