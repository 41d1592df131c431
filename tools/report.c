/* The head of a report; see report.h. */
#include "report.h"

#include "device/device.h"

#include <stdio.h>
#include <string.h>

static const char *yes(VkBool32 value)
{
    return value ? "yes" : "no";
}

static void print_arithmetic_line(void *user, const char *text)
{
    bool *first = user;
    printf("%s%s\n", *first ? "arithmetic: " : "            ", text);
    *first = false;
}

static void append_line(void *user, const char *text)
{
    (void)json_array_append_new(user, json_string(text));
}

/* Features and promises that this build does not need, but which tell drivers apart. */
static void print_features(const pm_device *device)
{
    VkPhysicalDeviceFloatControlsProperties floats = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &floats};
    VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDevice16BitStorageFeatures half = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, .pNext = &v12};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &half};
    vkGetPhysicalDeviceProperties2(device->physical, &properties);
    vkGetPhysicalDeviceFeatures2(device->physical, &features);
    printf("features: float16 %s, int8 %s, 16-bit storage %s, 8-bit storage %s (none is needed)\n",
           yes(v12.shaderFloat16), yes(v12.shaderInt8), yes(half.storageBuffer16BitAccess),
           yes(v12.storageBuffer8BitAccess));
    printf("float controls: rounds to nearest even on demand %s, keeps denormals %s, flushes them %s, keeps "
           "infinities and NaN %s\n",
           yes(floats.shaderRoundingModeRTEFloat32), yes(floats.shaderDenormPreserveFloat32),
           yes(floats.shaderDenormFlushToZeroFloat32), yes(floats.shaderSignedZeroInfNanPreserveFloat32));
}

static void print_limits(const pm_device *device)
{
    const pm_device_facts *facts = &device->facts;
    char memory[32], allocation[32], range[32], shared[32];
    printf("limits: memory %s, one allocation %s, one binding %s, shared memory %s, %u invocations,\n"
           "        %llu texels, %u x %u x %u groups, subgroups of %u\n",
           cli_size(facts->memory_bytes, memory, sizeof memory),
           cli_size(facts->max_allocation, allocation, sizeof allocation),
           cli_size(facts->max_storage_range, range, sizeof range),
           cli_size(facts->max_shared_bytes, shared, sizeof shared), facts->max_invocations,
           (unsigned long long)facts->max_texel_elements, facts->max_groups[0], facts->max_groups[1],
           facts->max_groups[2], facts->subgroup_size);
    printf("used: inputs are read through %s; tensors are %s; workgroups of %u and %u\n",
           pm_on(&device->rules, PM_TEXEL_INPUTS) ? "texel buffers" : "storage buffers",
           device->storage_mapped ? "mapped by the host" : "filled through a staging buffer",
           device->rules.lanes, device->rules.gemm_lanes);
}

/* What the user turned off, and what this device has no use for. */
static void print_switches(const pm_device *device)
{
    const char *about;
    for (int offered = 1; offered >= 0; offered--) {
        const char *before = offered ? "switched off: " : "not of use here: ";
        for (uint32_t i = 0; i < PM_FEATURES; i++) {
            pm_feature feature = (pm_feature)i;
            bool of_use = pm_feature_offered(&device->facts, feature) && !(device->rules.idle >> i & 1u);
            if (pm_device_uses(device, feature) || of_use != (offered == 1)) continue;
            printf("%s%s", before, pm_feature_name(feature, &about));
            before = ", ";
        }
        if (before[0] == ',') {
            printf("\n");
        } else if (offered) {
            printf("switched off: nothing\n");
        }
    }
    printf("chosen: %s\n", pm_device_choice(device));
}

json_t *cli_report(const pm_device *device, const pm_arithmetic *arithmetic)
{
    const pm_device_facts *facts = &device->facts;
    json_t *lines = json_array();
    pm_arithmetic_describe(arithmetic, append_line, lines);
    if (!cli.json) {
        bool first = true;
        printf("pumice " PM_VERSION "\ndevice: %s (%s)\n", facts->name, pm_device_type_name(facts->type));
        printf("driver: %s %s (0x%x), Vulkan %u.%u.%u, vendor 0x%04x, device 0x%04x\n", facts->driver,
               facts->driver_info, facts->driver_version, VK_API_VERSION_MAJOR(facts->api_version),
               VK_API_VERSION_MINOR(facts->api_version), VK_API_VERSION_PATCH(facts->api_version),
               facts->vendor_id, facts->device_id);
        print_features(device);
        print_limits(device);
        print_switches(device);
        pm_arithmetic_describe(arithmetic, print_arithmetic_line, &first);
        printf("\n");
    }
    return json_pack("{s:b, s:o}", "rounds", (int)arithmetic->rounds, "words", lines);
}
