/* Pipelines by key, made once and kept until the device is closed. */
#include "device/device.h"

#include "base/status.h"
#include "base/threads.h"
#include "device/shaders_embedded.h"

#include <stdlib.h>
#include <string.h>

static const pm_shader_binary *find_shader(const char *name, uint32_t variant)
{
    for (uint32_t i = 0; i < pm_shader_binary_count; i++) {
        const pm_shader_binary *binary = &pm_shader_binaries[i];
        if (binary->variant == variant && strcmp(binary->name, name) == 0) return binary;
    }
    return NULL;
}

static bool key_equal(const pm_pipeline_key *a, const pm_pipeline_key *b)
{
    return a->variant == b->variant && a->n_bind == b->n_bind && a->texel_mask == b->texel_mask &&
           a->n_push == b->n_push && a->subgroup == b->subgroup && a->n_spec == b->n_spec &&
           memcmp(a->spec, b->spec, a->n_spec * sizeof a->spec[0]) == 0 && strcmp(a->shader, b->shader) == 0;
}

static VkResult create_layouts(pm_device *device, const pm_pipeline_key *key, pm_pipeline *out)
{
    VkDescriptorSetLayoutBinding bindings[PM_PIPELINE_BINDINGS];
    for (uint32_t i = 0; i < key->n_bind; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = key->texel_mask >> i & 1u ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                                        : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    }
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = key->n_bind,
        .pBindings = bindings,
    };
    VkResult result = device->vk.vkCreateDescriptorSetLayout(device->device, &set, NULL, &out->set_layout);
    if (result != VK_SUCCESS) return result;
    VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = key->n_push * 4};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &out->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range,
    };
    return device->vk.vkCreatePipelineLayout(device->device, &layout, NULL, &out->layout);
}

static VkResult create_pipeline(pm_device *device, const pm_pipeline_key *key, const pm_shader_binary *binary,
                                pm_pipeline *out)
{
    VkSpecializationMapEntry entries[PM_PIPELINE_SPEC];
    for (uint32_t i = 0; i < key->n_spec; i++) entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    VkSpecializationInfo constants = {key->n_spec, entries, key->n_spec * 4, key->spec};
    VkShaderModuleCreateInfo module = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = binary->word_count * 4,
        .pCode = binary->words,
    };
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = key->subgroup,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = device->has_statistics ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                                              VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR
                                        : 0,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
    };
    if (key->subgroup && device->facts.subgroups_asked) info.stage.pNext = &subgroup;
    if (key->variant & PM_SHADER_MATRIX)
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
    VkResult result = create_layouts(device, key, out);
    info.layout = out->layout;
    if (result == VK_SUCCESS) {
        result = device->vk.vkCreateShaderModule(device->device, &module, NULL, &info.stage.module);
    }
    if (result == VK_SUCCESS) {
        result = device->vk.vkCreateComputePipelines(device->device, device->cache, 1, &info, NULL,
                                                     &out->pipeline);
        device->vk.vkDestroyShaderModule(device->device, info.stage.module, NULL);
    }
    return result;
}

static void destroy_pipeline(pm_device *device, const pm_pipeline *pipeline)
{
    device->vk.vkDestroyPipeline(device->device, pipeline->pipeline, NULL);
    device->vk.vkDestroyPipelineLayout(device->device, pipeline->layout, NULL);
    device->vk.vkDestroyDescriptorSetLayout(device->device, pipeline->set_layout, NULL);
}

static const pm_pipeline_entry *find(const pm_device *device, const pm_pipeline_key *key)
{
    for (uint32_t i = 0; i < device->n_pipelines; i++) {
        if (key_equal(&device->pipelines[i].key, key)) return &device->pipelines[i];
    }
    return NULL;
}

/* Room for so many more. */
static pm_status reserve(pm_device *device, uint32_t more, pm_error *error)
{
    uint32_t wanted = device->n_pipelines + more, room = device->cap_pipelines ? device->cap_pipelines : 64;
    while (room < wanted) room *= 2;
    if (room == device->cap_pipelines) return PM_OK;
    pm_pipeline_entry *moved = realloc(device->pipelines, room * sizeof *moved);
    if (!moved) return pm_fail(error, PM_NO_MEMORY, "pipelines: out of host memory");
    device->pipelines = moved;
    device->cap_pipelines = room;
    return PM_OK;
}

/* ---- Making several at once ---------------------------------------------------------------------------- */

/* One that is missing. */
typedef struct job {
    pm_device *device;
    const pm_shader_binary *binary;
    pm_pipeline_entry entry;
    VkResult result;
} job;

static void make_one(void *user, uint32_t index)
{
    job *j = (job *)user + index;
    j->result = create_pipeline(j->device, &j->entry.key, j->binary, &j->entry.pipeline);
}

/* The longest shader first, that it may not be alone at the end. */
static int by_length(const void *a, const void *b)
{
    const job *x = a, *y = b;
    return (x->binary->word_count < y->binary->word_count) - (x->binary->word_count > y->binary->word_count);
}

static bool is_among(const job *jobs, uint32_t count, const pm_pipeline_key *key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (key_equal(&jobs[i].entry.key, key)) return true;
    }
    return false;
}

static pm_status list_missing(pm_device *device, const pm_pipeline_key *keys, uint32_t count, job *jobs,
                              uint32_t *missing, pm_error *error)
{
    *missing = 0;
    for (uint32_t i = 0; i < count; i++) {
        const pm_pipeline_key *key = &keys[i];
        if (find(device, key) || is_among(jobs, *missing, key)) continue;
        job *j = &jobs[(*missing)++];
        *j = (job){.device = device, .binary = find_shader(key->shader, key->variant), .entry.key = *key};
        if (!j->binary) return pm_fail(error, PM_FAILED, "this build has no shader %s", key->shader);
    }
    return reserve(device, *missing, error);
}

/* Keeps those that were made. */
static pm_status keep(pm_device *device, job *jobs, uint32_t count, pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t i = 0; i < count; i++) {
        job *j = &jobs[i];
        if (j->result == VK_SUCCESS) {
            device->pipelines[device->n_pipelines++] = j->entry;
            continue;
        }
        destroy_pipeline(device, &j->entry.pipeline);
        if (status != PM_OK) continue;
        status = pm_vk_fail(device, j->result, "compiling a shader", error);
        (void)pm_fail_prefix(error, status, "%s", j->entry.key.shader);
    }
    return status;
}

pm_status pm_pipelines_make(pm_device *device, const pm_pipeline_key *keys, uint32_t count, pm_error *error)
{
    uint32_t missing, threads = pm_on(&device->rules, PM_PARALLEL_PIPELINES) ? UINT32_MAX : 1;
    job *jobs = calloc(count + 1u, sizeof *jobs);
    if (!jobs) return pm_fail(error, PM_NO_MEMORY, "pipelines: out of host memory");
    pm_status status = list_missing(device, keys, count, jobs, &missing, error);
    if (status == PM_OK) {
        qsort(jobs, missing, sizeof *jobs, by_length);
        pm_for_each(missing, threads, make_one, jobs);
        status = keep(device, jobs, missing, error);
    }
    free(jobs);
    return status;
}

pm_status pm_pipeline_get(pm_device *device, const pm_pipeline_key *key, pm_pipeline *out, pm_error *error)
{
    const pm_pipeline_entry *entry = find(device, key);
    pm_status status = entry ? PM_OK : pm_pipelines_make(device, key, 1, error);
    if (status == PM_OK) *out = (entry ? entry : find(device, key))->pipeline;
    return status;
}

void pm_pipelines_destroy(pm_device *device)
{
    for (uint32_t i = 0; i < device->n_pipelines; i++)
        destroy_pipeline(device, &device->pipelines[i].pipeline);
    free(device->pipelines);
    device->pipelines = NULL;
    device->n_pipelines = 0;
}
