/* `pumice devices`: what is here, what would be used and why, and what this build can do with it. */
#include "cli.h"
#include "commands.h"

#include "device/device.h"
#include "device/shaders_embedded.h"

#include <stdio.h>
#include <string.h>

enum { MOST_DEVICES = 32 };

static void version_text(uint32_t version, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "%u.%u.%u", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
                   VK_API_VERSION_PATCH(version));
}

static uint32_t count_shaders(uint32_t variant)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pm_shader_binary_count; i++) count += pm_shader_binaries[i].variant == variant;
    return count;
}

/* The features that can be turned off but that this device has no use for. */
static void print_lacks(const pm_device_facts *facts)
{
    const char *about, *between = "   lacks      ";
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        if (pm_feature_offered(facts, (pm_feature)i)) continue;
        printf("%s%s", between, pm_feature_name((pm_feature)i, &about));
        between = ", ";
    }
    if (between[0] == ',') printf("\n");
}

static void print_device(const pm_device_facts *facts, bool chosen)
{
    char version[32], memory[32], allocation[32], range[32], shared[32];
    version_text(facts->api_version, version, sizeof version);
    printf("%u: %s%s\n", facts->index, facts->name,
           chosen          ? "   <- used"
           : facts->usable ? ""
                           : "   (not usable)");
    printf("   type       %s\n", pm_device_type_name(facts->type));
    printf("   driver     %s %s, Vulkan %s\n", facts->driver, facts->driver_info, version);
    printf("   uuid       %s, vendor 0x%04x, device 0x%04x\n", facts->uuid, facts->vendor_id,
           facts->device_id);
    printf("   memory     %s%s, at most %s in one piece\n",
           cli_size(facts->memory_bytes, memory, sizeof memory),
           facts->unified_memory ? ", mapped by the host" : "",
           cli_size(facts->max_allocation, allocation, sizeof allocation));
    printf("   limits     a storage binding of %s, a texel view of %llu, %s shared memory,\n"
           "              workgroups of %u, %u of them along an axis, subgroups of %u",
           cli_size(facts->max_storage_range, range, sizeof range),
           (unsigned long long)facts->max_texel_elements,
           cli_size(facts->max_shared_bytes, shared, sizeof shared), facts->max_invocations,
           facts->max_groups[0], facts->subgroup_size);
    if (facts->subgroups_asked && facts->subgroup_sizes[0] < facts->subgroup_sizes[1])
        printf(" (%u to %u on demand)", facts->subgroup_sizes[0], facts->subgroup_sizes[1]);
    printf("\n");
    if (facts->usable) print_lacks(facts);
    if (!facts->usable) printf("   why not    it lacks Vulkan 1.2 or a compute queue\n");
}

static json_t *device_json(const pm_device_facts *facts, bool chosen)
{
    char version[32];
    version_text(facts->api_version, version, sizeof version);
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:[i,i,i], s:i, "
        "s:[i,i], s:b, s:b, s:b}",
        "index", (int)facts->index, "name", facts->name, "type", pm_device_type_name(facts->type), "driver",
        facts->driver, "driver_info", facts->driver_info, "vulkan", version, "uuid", facts->uuid, "vendor_id",
        (int)facts->vendor_id, "device_id", (int)facts->device_id, "memory_bytes",
        (json_int_t)facts->memory_bytes, "max_allocation", (json_int_t)facts->max_allocation,
        "max_storage_range", (json_int_t)facts->max_storage_range, "max_texel_elements",
        (json_int_t)facts->max_texel_elements, "max_shared_bytes", (int)facts->max_shared_bytes,
        "max_invocations", (int)facts->max_invocations, "max_groups", (int)facts->max_groups[0],
        (int)facts->max_groups[1], (int)facts->max_groups[2], "subgroup_size", (int)facts->subgroup_size,
        "subgroup_sizes", (int)facts->subgroup_sizes[0], (int)facts->subgroup_sizes[1], "unified_memory",
        (int)facts->unified_memory, "usable", (int)facts->usable, "chosen", (int)chosen);
}

static const char *matrix_shaders(void)
{
    if (!count_shaders(PM_SHADER_MATRIX)) return "none: its glslc was too old";
    return count_shaders(PM_SHADER_MATRIX | PM_SHADER_BF16) ? "as well, in f16 and in bf16"
                                                            : "as well, in f16 alone: its glslc was too old";
}

static void print_build(const pm_device *device)
{
    printf(
        "\nThis build (pumice " PM_VERSION
        "): %u shaders in precisions exact and f32, %u in rounded; for matrix units (precision fast) %s.\n",
        count_shaders(0), count_shaders(PM_SHADER_FMA | PM_SHADER_ROUNDED), matrix_shaders());
    if (!device) return;
    printf("On the device used: inputs are read through %s; tensors are %s.\n",
           pm_device_uses(device, PM_TEXEL_INPUTS) ? "texel buffers" : "storage buffers",
           device->storage_mapped ? "mapped by the host" : "filled through a staging buffer");
}

static const char *feature_state(const pm_device *device, pm_feature feature)
{
    if (!pm_feature_offered(pm_device_facts_of(device), feature)) return "not offered";
    if (device->rules.idle >> feature & 1u) return "idle"; /* kernels for a CPU driver take its place */
    return pm_device_uses(device, feature) ? "on" : "off";
}

static void print_switches(const pm_device *device)
{
    const char *about, *name;
    printf("\nTo turn off, by --off NAME,... or PUMICE_OFF:\n");
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        name = pm_feature_name((pm_feature)i, &about);
        printf("  %-21s%-12s %s\n", name, feature_state(device, (pm_feature)i), about);
    }
    printf("\nTo pretend less of, by --limit NAME=N,... or PUMICE_LIMIT:\n");
    for (uint32_t i = 0; (name = pm_limit_name(i, &about)); i++) printf("  %-14s %s\n", name, about);
}

static json_t *switches_json(const pm_device *device)
{
    json_t *all = json_object();
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        const char *about, *name = pm_feature_name((pm_feature)i, &about);
        (void)json_object_set_new(all, name, json_string(feature_state(device, (pm_feature)i)));
    }
    return all;
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    pm_device_facts facts[MOST_DEVICES];
    uint32_t found = MOST_DEVICES;
    pm_device *device = NULL;
    (void)count;
    (void)arguments;
    pm_status status = pm_device_list(facts, &found, error);
    if (status != PM_OK) return status;
    if (found > MOST_DEVICES) found = MOST_DEVICES;
    pm_device_options options = cli_device_options();
    status = pm_device_open(&options, &device, error);
    uint32_t used = device ? pm_device_facts_of(device)->index : UINT32_MAX;
    if (used < found) facts[used] = *pm_device_facts_of(device); /* with what it pretends */
    json_t *list = json_array();
    for (uint32_t i = 0; i < found; i++) {
        if (!cli.json) print_device(&facts[i], facts[i].index == used);
        (void)json_array_append_new(list, device_json(&facts[i], facts[i].index == used));
    }
    if (!cli.json) {
        if (device) printf("\n%s\n", pm_device_choice(device));
        print_build(device);
        if (device) print_switches(device);
    }
    cli_result(json_pack("{s:o, s:o, s:s, s:s, s:i}", "switches",
                         device ? switches_json(device) : json_object(), "devices", list, "choice",
                         device ? pm_device_choice(device) : "", "version", PM_VERSION, "shaders",
                         (int)count_shaders(0)));
    pm_device_close(device);
    return status;
}

const cli_verb cli_devices = {
    .name = "devices",
    .summary = "list the devices that Vulkan shows, and say which one is used and why",
    .arguments = "",
    .about = "Every other verb uses one of these. --device, or the variable PUMICE_DEVICE, asks\n"
             "for another than the rule chooses. At the end stand the names that --off and --limit\n"
             "take: to find out what is at fault when a driver computes wrong numbers, and how a\n"
             "model would fare on a smaller device.\n",
    .examples = "  pumice devices\n      what is here\n"
                "  pumice devices --device cpu\n      whether there is a CPU driver, and what it can do\n"
                "  pumice devices --limit storage-range=128MiB,shared=16KiB,invocations=128\n"
                "      the least that Vulkan allows\n",
    .run = run,
};
