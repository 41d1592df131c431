/* Finding, choosing and opening devices. */
#include "device/device.h"

#include "base/status.h"
#include "base/threads.h"
#include "device/limits.h"
#include "device/matrix_units.h"
#include "device/pipeline_statistics.h"
#include "device/subgroups.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 32
#define MAX_FAMILIES 32

const char *const pm_precision_names[PM_PRECISIONS + 1] = {
    [PM_EXACT] = "exact", [PM_F32] = "f32", [PM_FAST] = "fast", [PM_ROUNDED] = "rounded"};

/* ---- Instance ------------------------------------------------------------------------------------------ */

static pm_status create_instance(VkInstance *out, pm_error *error)
{
    if (volkInitialize() != VK_SUCCESS) {
        return pm_fail(
            error, PM_NO_DEVICE,
            "no Vulkan loader (libvulkan.so.1): install it with a driver, e.g. the packages libvulkan1 and "
            "mesa-vulkan-drivers");
    }
    if (volkGetInstanceVersion() < VK_API_VERSION_1_2) {
        return pm_fail(error, PM_NO_DEVICE, "the Vulkan loader is older than 1.2: update it");
    }
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "pumice",
        .apiVersion = VK_API_VERSION_1_2,
    };
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &application,
    };
#ifdef VK_KHR_portability_enumeration
    /* Drivers on top of another API (MoltenVK) only show themselves to programs that ask for them. */
    const char *portability = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    VkExtensionProperties extensions[256];
    uint32_t count = 256;
    VkResult listed = vkEnumerateInstanceExtensionProperties(NULL, &count, extensions);
    for (uint32_t i = 0; (listed == VK_SUCCESS || listed == VK_INCOMPLETE) && i < count; i++) {
        if (strcmp(extensions[i].extensionName, portability) == 0) {
            info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
            info.enabledExtensionCount = 1;
            info.ppEnabledExtensionNames = &portability;
        }
    }
#endif
    VkResult result = vkCreateInstance(&info, NULL, out);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        return pm_fail(error, PM_NO_DEVICE,
                       "the Vulkan loader found no driver: install one (mesa-vulkan-drivers has AMD, Intel "
                       "and a CPU driver)");
    }
    if (result != VK_SUCCESS) {
        return pm_fail(error, PM_NO_DEVICE, "Vulkan could not be started (VkResult %d)", (int)result);
    }
    volkLoadInstanceOnly(*out);
    return PM_OK;
}

static pm_status enumerate(VkInstance instance, VkPhysicalDevice *devices, uint32_t *count, pm_error *error)
{
    *count = MAX_DEVICES;
    VkResult result = vkEnumeratePhysicalDevices(instance, count, devices);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) {
        return pm_fail(
            error, PM_NO_DEVICE,
            "a Vulkan driver failed to enumerate its devices (VkResult %d); point VK_ICD_FILENAMES at the "
            "driver that you want, e.g. /usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
            (int)result);
    }
    if (*count == 0) {
        return pm_fail(
            error, PM_NO_DEVICE,
            "no Vulkan device: install a driver (mesa-vulkan-drivers has AMD, Intel and a CPU driver)");
    }
    return PM_OK;
}

/* ---- Facts --------------------------------------------------------------------------------------------- */

/* The first family that computes, or where `apart` one that the desktop does not share, if there is one. */
static uint32_t compute_family(VkPhysicalDevice physical, bool apart, bool *is_apart)
{
    VkQueueFamilyProperties families[MAX_FAMILIES];
    uint32_t count = 0, best = UINT32_MAX;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, NULL);
    if (count > MAX_FAMILIES) count = MAX_FAMILIES;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        bool graphics = families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT;
        if (best == UINT32_MAX || (apart && !graphics)) best = i;
        *is_apart = best == i && !graphics;
        if (!apart || !graphics) break;
    }
    return best;
}

static pm_device_type type_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return PM_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return PM_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return PM_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return PM_DEVICE_CPU;
    default:
        return PM_DEVICE_OTHER;
    }
}

static void format_uuid(const uint8_t *bytes, char text[37])
{
    char *at = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
        at += snprintf(at, 3, "%02x", bytes[i]);
    }
}

static void fill_memory_facts(VkPhysicalDevice physical, pm_device_facts *facts)
{
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++) {
        bool local = memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
        if (local && memory.memoryHeaps[i].size > facts->memory_bytes)
            facts->memory_bytes = memory.memoryHeaps[i].size;
    }
    const VkMemoryPropertyFlags both =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &memory.memoryTypes[i];
        /* A small mapped window (256 MiB of a discrete GPU) does not count: tensors would not fit. */
        if ((type->propertyFlags & both) == both &&
            memory.memoryHeaps[type->heapIndex].size >= facts->memory_bytes) {
            facts->unified_memory = true;
        }
    }
}

static void fill_facts(VkInstance instance, VkPhysicalDevice physical, const pm_offered *offered,
                       uint32_t index, pm_device_facts *facts)
{
    VkPhysicalDeviceVulkan12Properties v12 = {.sType =
                                                  VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES};
    VkPhysicalDeviceVulkan11Properties v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, .pNext = &v12};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    memset(facts, 0, sizeof *facts);
    VkPhysicalDeviceProperties basic;
    vkGetPhysicalDeviceProperties(physical, &basic);
    if (basic.apiVersion >= VK_API_VERSION_1_2) properties.pNext = &v11;
    vkGetPhysicalDeviceProperties2(physical, &properties);
    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;

    facts->index = index;
    (void)snprintf(facts->name, sizeof facts->name, "%s", basic.deviceName);
    (void)snprintf(facts->driver, sizeof facts->driver, "%s", v12.driverName);
    (void)snprintf(facts->driver_info, sizeof facts->driver_info, "%s", v12.driverInfo);
    format_uuid(v11.deviceUUID, facts->uuid);
    facts->type = type_of(basic.deviceType);
    facts->vendor_id = basic.vendorID;
    facts->device_id = basic.deviceID;
    facts->driver_id = (uint32_t)v12.driverID;
    facts->driver_version = basic.driverVersion;
    facts->api_version = basic.apiVersion;
    facts->max_allocation = v11.maxMemoryAllocationSize;
    facts->max_storage_range = limits->maxStorageBufferRange;
    facts->max_texel_elements = limits->maxTexelBufferElements;
    facts->max_shared_bytes = limits->maxComputeSharedMemorySize;
    facts->max_invocations = limits->maxComputeWorkGroupInvocations;
    memcpy(facts->max_groups, limits->maxComputeWorkGroupCount, sizeof facts->max_groups);
    VkDeviceSize alignment = 256;
    if (limits->minStorageBufferOffsetAlignment > alignment)
        alignment = limits->minStorageBufferOffsetAlignment;
    if (limits->minTexelBufferOffsetAlignment > alignment) alignment = limits->minTexelBufferOffsetAlignment;
    facts->buffer_alignment = (uint32_t)alignment;
    facts->core_cache = facts->type == PM_DEVICE_CPU ? pm_core_cache() : 0;
    facts->subgroup_size = v11.subgroupSize;
    VkSubgroupFeatureFlags shows =
        VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT;
    facts->subgroup_shows = (v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                            (v11.subgroupSupportedOperations & shows) == shows;
    facts->timestamp_period = limits->timestampComputeAndGraphics ? limits->timestampPeriod : 0.0f;
    fill_memory_facts(physical, facts);
    facts->memory_budget = offered->budget;
    if (offered->subgroups) pm_subgroups_find(physical, facts);
    if (offered->matrix) pm_matrix_units_find(instance, physical, offered->bf16, facts);
    facts->usable = compute_family(physical, true, &facts->compute_queue) != UINT32_MAX &&
                    basic.apiVersion >= VK_API_VERSION_1_2;
}

pm_status pm_device_list(pm_device_facts *facts, uint32_t *count, pm_error *error)
{
    VkInstance instance;
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t found = 0;
    pm_status status = create_instance(&instance, error);
    if (status != PM_OK) return status;
    status = enumerate(instance, devices, &found, error);
    for (uint32_t i = 0; status == PM_OK && i < found && i < *count; i++) {
        pm_offered offered = pm_extensions_offered(devices[i]);
        fill_facts(instance, devices[i], &offered, i, &facts[i]);
    }
    if (status == PM_OK) *count = found;
    vkDestroyInstance(instance, NULL);
    return status;
}

/* ---- Choice -------------------------------------------------------------------------------------------- */

static bool contains_ignoring_case(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (i == n) return true;
    }
    return false;
}

static bool matches(const pm_device_facts *facts, const char *select)
{
    char *end;
    unsigned long index = strtoul(select, &end, 10);
    if (isdigit((unsigned char)select[0]) && *end == '\0') return facts->index == index;
    if (strcmp(select, "cpu") == 0) return facts->type == PM_DEVICE_CPU;
    return contains_ignoring_case(facts->name, select) ||
           (strlen(select) >= 4 && strncmp(facts->uuid, select, strlen(select)) == 0);
}

/* Index of the chosen device, or -1. */
static int choose(const pm_device_facts *facts, uint32_t count, const char *select)
{
    int best = -1;
    for (uint32_t i = 0; i < count; i++) {
        if (!facts[i].usable || (select && !matches(&facts[i], select))) continue;
        if (best < 0 || pm_device_rank(facts[i].type) > pm_device_rank(facts[best].type)) best = (int)i;
    }
    return best;
}

static void describe_choice(pm_device *device, const char *select, const char *source, uint32_t count)
{
    const pm_device_facts *facts = &device->facts;
    if (select) {
        (void)snprintf(device->choice, sizeof device->choice, "device %u: %s (%s), as asked by %s=%.60s",
                       facts->index, facts->name, pm_device_type_name(facts->type), source, select);
    } else {
        (void)snprintf(
            device->choice, sizeof device->choice,
            "device %u: %s (%s), the first by the rule discrete > integrated > virtual > CPU of %u found",
            facts->index, facts->name, pm_device_type_name(facts->type), count);
    }
}

/* After the choice: what is not as the device is. */
static void describe_pretence(pm_device *device, uint64_t off)
{
    char text[300];
    size_t used = strlen(device->choice);
    if (pm_limits_text(&device->limits, text, sizeof text)[0]) {
        (void)snprintf(device->choice + used, sizeof device->choice - used, "; limited to %s", text);
    }
    for (uint32_t i = 0, first = 1; i < PM_FEATURES; i++) {
        const char *about;
        if (!(off >> i & 1u)) continue;
        used = strlen(device->choice);
        (void)snprintf(device->choice + used, sizeof device->choice - used, "%s%s", first ? "; off: " : ", ",
                       pm_feature_name((pm_feature)i, &about));
        first = 0;
    }
}

/* ---- Opening ------------------------------------------------------------------------------------------- */

static pm_status create_logical(pm_device *device, const pm_offered *offered, pm_error *error)
{
    float priority = 1.0f;
    const char *extensions[PM_MAX_EXTENSIONS];
    uint32_t n_extensions = pm_device_extensions(device, offered, extensions);
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = device->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .timelineSemaphore = !device->compile_only, /* what nothing is submitted with need not be there */
    };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &v12,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = n_extensions,
        .ppEnabledExtensionNames = extensions,
    };
    pm_matrix_features matrix;
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT subgroups;
    bool has_matrix = pm_on(&device->rules, PM_MATRIX_UNITS);
    if (has_matrix) pm_matrix_units_enable(&v12, device->rules.bf16, &matrix);
    if (has_matrix || pm_asks_subgroups(&device->rules)) pm_subgroups_enable(&v12, has_matrix, &subgroups);
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics;
    if (device->compile_only) pm_pipeline_statistics_enable(device, &v12, &statistics);
    VkResult result = vkCreateDevice(device->physical, &info, NULL, &device->device);
    if (result != VK_SUCCESS) {
        return pm_fail(error, PM_NO_DEVICE, "%s: the driver refuses to open it (VkResult %d)",
                       device->facts.name, (int)result);
    }
    volkLoadDeviceTable(&device->vk, device->device);
    device->vk.vkGetDeviceQueue(device->device, device->queue_family, 0, &device->queue);
    if (device->compile_only) return PM_OK;
    VkSemaphoreTypeCreateInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &timeline};
    result = device->vk.vkCreateSemaphore(device->device, &semaphore, NULL, &device->timeline);
    return result == VK_SUCCESS ? PM_OK : pm_vk_fail(device, result, "creating a semaphore", error);
}

/* What the options say and what the environment says. */
static pm_status read_pretence(const pm_device_options *options, pm_device_limits *limits, uint64_t *off,
                               pm_error *error)
{
    pm_device_limits others = {0};
    const char *limit = getenv("PUMICE_LIMIT"), *names = getenv("PUMICE_OFF");
    pm_status status = PM_OK;
    *off = options->off;
    if (limit && *limit) status = pm_limits_parse("PUMICE_LIMIT", limit, &others, error);
    if (status == PM_OK && names && *names) status = pm_features_parse("PUMICE_OFF", names, off, error);
    *limits = pm_limits_merge(&options->limits, &others);
    return status;
}

static pm_status open_chosen(pm_device *device, const pm_device_options *options, pm_error *error)
{
    VkPhysicalDevice physical[MAX_DEVICES];
    pm_device_facts facts[MAX_DEVICES];
    pm_offered offered[MAX_DEVICES];
    uint32_t count = 0;
    const char *source = "--device", *select = options->select;
    if (!select) {
        select = getenv("PUMICE_DEVICE");
        source = "PUMICE_DEVICE";
    }
    if (select && !*select) select = NULL;
    uint64_t off;
    bool is_apart;
    pm_status status = read_pretence(options, &device->limits, &off, error);
    if (status == PM_OK) status = create_instance(&device->instance, error);
    if (status == PM_OK) status = enumerate(device->instance, physical, &count, error);
    if (status != PM_OK) return status;
    for (uint32_t i = 0; i < count; i++) {
        offered[i] = pm_extensions_offered(physical[i]);
        fill_facts(device->instance, physical[i], &offered[i], i, &facts[i]);
    }
    int chosen = choose(facts, count, select);
    if (chosen < 0 && select) {
        return pm_fail(error, PM_NO_DEVICE,
                       "no usable device matches \"%s\": `pumice devices` lists what is here", select);
    }
    if (chosen < 0) return pm_fail(error, PM_NO_DEVICE, "no device here has Vulkan 1.2 and a compute queue");
    device->facts = facts[chosen];
    device->physical = physical[chosen];
    status = pm_limits_apply(&device->limits, &device->facts, error);
    if (status != PM_OK) return status;
    device->rules = pm_rules_for(&device->facts, &device->limits, off);
    device->compile_only = options->compile_only;
    device->say = options->say;
    device->user = options->user;
    bool apart = pm_on(&device->rules, PM_COMPUTE_QUEUE);
    device->queue_family = compute_family(device->physical, apart, &is_apart);
    describe_choice(device, select, source, count);
    describe_pretence(device, off);
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device->physical, &properties);
    device->max_allocations = properties.limits.maxMemoryAllocationCount;
    status = create_logical(device, &offered[chosen], error);
    if (status != PM_OK || options->compile_only) return status;
    status = pm_memory_choose(device, !pm_on(&device->rules, PM_MAPPED_MEMORY), error);
    if (status == PM_OK && pm_on(&device->rules, PM_PIPELINE_CACHE)) pm_pipeline_cache_load(device);
    if (status == PM_OK && pm_on(&device->rules, PM_TUNED_TILES)) {
        device->rules.tuning = &device->tuning;
        pm_tuning_know(&device->tuning, &device->facts);
        pm_tuning_load(device);
    }
    return status;
}

pm_status pm_device_open(const pm_device_options *options, pm_device **out, pm_error *error)
{
    static const pm_device_options defaults = {0};
    pm_device *device = calloc(1, sizeof *device);
    *out = NULL;
    if (!device) return pm_fail(error, PM_NO_MEMORY, "device: out of host memory");
    pm_status status = open_chosen(device, options ? options : &defaults, error);
    if (status == PM_OK) {
        *out = device;
    } else {
        pm_device_close(device);
    }
    return status;
}

void pm_device_close(pm_device *device)
{
    if (!device) return;
    if (device->device) {
        if (!device->compile_only) (void)device->vk.vkDeviceWaitIdle(device->device);
        pm_pipeline_cache_save(device);
        pm_pipelines_destroy(device);
        device->vk.vkDestroyPipelineCache(device->device, device->cache, NULL);
        device->vk.vkDestroySemaphore(device->device, device->timeline, NULL);
        device->vk.vkDestroyDevice(device->device, NULL);
    }
    if (device->instance) vkDestroyInstance(device->instance, NULL);
    free(device);
}

const pm_device_facts *pm_device_facts_of(const pm_device *device)
{
    return &device->facts;
}

const char *pm_device_choice(const pm_device *device)
{
    return device->choice;
}

bool pm_device_uses(const pm_device *device, pm_feature feature)
{
    return pm_on(&device->rules, feature);
}
