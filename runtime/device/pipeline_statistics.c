/* The compiler's numbers, from the names that each driver has for them; see pipeline_statistics.h. */
#include "device/pipeline_statistics.h"

#include "base/status.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Enabling ------------------------------------------------------------------------------------------ */

void pm_pipeline_statistics_enable(pm_device *device, VkPhysicalDeviceVulkan12Features *chain,
                                   VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR *features)
{
    *features = (VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceFeatures2 supported = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                           .pNext = features};
    if (device->has_statistics) vkGetPhysicalDeviceFeatures2(device->physical, &supported);
    device->has_statistics = features->pipelineExecutableInfo;
    features->pNext = chain->pNext;
    if (device->has_statistics) chain->pNext = features;
}

/* ---- Names --------------------------------------------------------------------------------------------- */

#define FIELD(name) offsetof(pm_pipeline_statistics, name)

/* Several names of one field are added up. */
static const struct meaning {
    const char *name;
    size_t field;
} meanings[] = {
    /* RADV */
    {"VGPRs", FIELD(registers)},
    {"Spilled VGPRs", FIELD(spills)},
    {"Spilled SGPRs", FIELD(spills)},
    {"Scratch size", FIELD(scratch_bytes)},
    {"LDS size", FIELD(shared_bytes)},
    {"Subgroups per SIMD", FIELD(occupancy)},
    {"Code size", FIELD(code_bytes)},
    {"Instructions", FIELD(instructions)},
    {"Inverse Throughput", FIELD(cycles)},
    {"Latency", FIELD(latency)},
    /* ANV */
    {"Instruction Count", FIELD(instructions)},
    {"Cycle Count", FIELD(cycles)},
    {"Spill Count", FIELD(spills)},
    {"Fill Count", FIELD(spills)},
    {"Scratch Memory Size", FIELD(scratch_bytes)},
    {"Workgroup Memory Size", FIELD(shared_bytes)},
    {"Max live registers", FIELD(registers)},
    {"GRF registers", FIELD(registers)},
    /* NVK */
    {"Number of GPRs", FIELD(registers)},
    {"Instruction count", FIELD(instructions)},
    {"Static cycle count", FIELD(cycles)},
    {"Max warps/SM", FIELD(occupancy)},
    {"Spills to memory", FIELD(spills)},
    {"Fills from memory", FIELD(spills)},
    {"SLM Size", FIELD(scratch_bytes)},
    {"SLM size", FIELD(scratch_bytes)},
    {"Code Size", FIELD(code_bytes)},
    /* Turnip; its registers are of four */
    {"Registers used", FIELD(registers)},
    {"STP Count", FIELD(spills)},
    {"LDP Count", FIELD(spills)},
    {"Max Waves Per Core", FIELD(occupancy)},
    /* Honeykrisp; its registers are of 16 bits */
    {"GPRs", FIELD(registers)},
    {"Spills", FIELD(spills)},
    {"Fills", FIELD(spills)},
    {"Scratch", FIELD(scratch_bytes)},
    {"Threads", FIELD(occupancy)},
};

/* The field of that name set to the sum of what it was and `value`. */
static void add_to(pm_pipeline_statistics *out, const char *name, double value)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (strcmp(meanings[i].name, name) != 0) continue;
        double *field = (double *)(void *)((char *)out + meanings[i].field);
        *field = (*field < 0 ? 0 : *field) + value;
    }
}

static double number_of(const VkPipelineExecutableStatisticKHR *statistic)
{
    switch (statistic->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        return statistic->value.b32 ? 1 : 0;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return (double)statistic->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        return (double)statistic->value.u64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
        return statistic->value.f64;
    default:
        return -1;
    }
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

static VkResult read_executable(pm_device *device, const VkPipelineExecutableInfoKHR *which,
                                pm_pipeline_statistics *out)
{
    VkPipelineExecutableStatisticKHR found[PM_MOST_STATISTICS];
    uint32_t count = PM_MOST_STATISTICS;
    memset(found, 0, sizeof found);
    for (uint32_t i = 0; i < PM_MOST_STATISTICS; i++)
        found[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    VkResult result = device->vk.vkGetPipelineExecutableStatisticsKHR(device->device, which, &count, found);
    for (uint32_t i = 0; result >= VK_SUCCESS && i < count; i++) {
        (void)snprintf(out->all[i].name, sizeof out->all[i].name, "%.63s", found[i].name);
        out->all[i].value = number_of(&found[i]);
        add_to(out, found[i].name, out->all[i].value);
    }
    out->count = result >= VK_SUCCESS ? count : 0;
    return result;
}

static void clear(pm_pipeline_statistics *out)
{
    *out = (pm_pipeline_statistics){-1, -1, -1, -1, -1, -1, -1, -1, -1, 0, {{"", 0}}, 0};
}

/* The program of the widest subgroups; `found` is false when there is none. */
static VkResult find_program(pm_device *device, VkPipeline pipeline, VkPipelineExecutableInfoKHR *which,
                             uint32_t *subgroup_size, bool *found)
{
    enum { MOST = 8 };
    VkPipelineExecutablePropertiesKHR programs[MOST];
    uint32_t count = MOST, widest = 0;
    VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    memset(programs, 0, sizeof programs);
    for (uint32_t i = 0; i < MOST; i++)
        programs[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    VkResult result =
        device->vk.vkGetPipelineExecutablePropertiesKHR(device->device, &info, &count, programs);
    *found = result >= VK_SUCCESS && count > 0;
    if (!*found) return result;
    for (uint32_t i = 1; i < count; i++) {
        if (programs[i].subgroupSize > programs[widest].subgroupSize) widest = i;
    }
    *which = (VkPipelineExecutableInfoKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                           .pipeline = pipeline,
                                           .executableIndex = widest};
    *subgroup_size = programs[widest].subgroupSize;
    return result;
}

pm_status pm_pipeline_statistics_read(pm_device *device, VkPipeline pipeline, pm_pipeline_statistics *out,
                                      pm_error *error)
{
    VkPipelineExecutableInfoKHR which;
    bool found;
    clear(out);
    if (!device->has_statistics) return PM_OK;
    VkResult result = find_program(device, pipeline, &which, &out->subgroup_size, &found);
    if (found) result = read_executable(device, &which, out);
    return result >= VK_SUCCESS ? PM_OK : pm_vk_fail(device, result, "reading statistics", error);
}

/* The last representation that is an assembly; *listing stays NULL when there is none. */
static VkResult read_assembly(pm_device *device, const VkPipelineExecutableInfoKHR *which, char dialect[64],
                              char **listing)
{
    enum { MOST = 16 };
    VkPipelineExecutableInternalRepresentationKHR shown[MOST], *last = NULL;
    uint32_t count = MOST;
    memset(shown, 0, sizeof shown);
    for (uint32_t i = 0; i < MOST; i++)
        shown[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    VkResult result =
        device->vk.vkGetPipelineExecutableInternalRepresentationsKHR(device->device, which, &count, shown);
    for (uint32_t i = 0; result >= VK_SUCCESS && i < count; i++) {
        if (shown[i].isText && shown[i].dataSize && strstr(shown[i].name, "ssembly")) last = &shown[i];
    }
    if (!last) return result;
    char *text = calloc(1, last->dataSize + 1);
    if (!text) return VK_ERROR_OUT_OF_HOST_MEMORY;
    last->pData = text;
    result =
        device->vk.vkGetPipelineExecutableInternalRepresentationsKHR(device->device, which, &count, shown);
    if (result < VK_SUCCESS) {
        free(text);
        return result;
    }
    (void)snprintf(dialect, 64, "%.63s", last->name);
    *listing = text;
    return result;
}

pm_status pm_pipeline_assembly(pm_device *device, VkPipeline pipeline, char dialect[64], char **listing,
                               pm_error *error)
{
    VkPipelineExecutableInfoKHR which;
    uint32_t subgroup_size;
    bool found;
    *listing = NULL;
    if (!device->has_statistics) return PM_OK;
    VkResult result = find_program(device, pipeline, &which, &subgroup_size, &found);
    if (found) result = read_assembly(device, &which, dialect, listing);
    return result >= VK_SUCCESS ? PM_OK : pm_vk_fail(device, result, "reading assembly", error);
}
