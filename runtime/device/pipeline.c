/* Pipelines by key, made once and kept until the device is closed. */
#include "device/device.h"

#include "base/status.h"
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
           a->n_push == b->n_push && a->n_spec == b->n_spec &&
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
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = device->has_statistics ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
    };
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

pm_status pm_pipeline_get(pm_device *device, const pm_pipeline_key *key, pm_pipeline *out, pm_error *error)
{
    for (uint32_t i = 0; i < device->n_pipelines; i++) {
        if (key_equal(&device->pipelines[i].key, key)) {
            *out = device->pipelines[i].pipeline;
            return PM_OK;
        }
    }
    const pm_shader_binary *binary = find_shader(key->shader, key->variant);
    if (!binary) return pm_fail(error, PM_FAILED, "this build has no shader %s", key->shader);
    if (device->n_pipelines == device->cap_pipelines) {
        uint32_t larger = device->cap_pipelines ? device->cap_pipelines * 2 : 64;
        pm_pipeline_entry *moved = realloc(device->pipelines, larger * sizeof *moved);
        if (!moved) return pm_fail(error, PM_NO_MEMORY, "pipelines: out of host memory");
        device->pipelines = moved;
        device->cap_pipelines = larger;
    }
    pm_pipeline_entry entry = {.key = *key};
    VkResult result = create_pipeline(device, key, binary, &entry.pipeline);
    if (result != VK_SUCCESS) {
        destroy_pipeline(device, &entry.pipeline);
        (void)pm_vk_fail(device, result, "compiling a shader", error);
        return pm_fail_prefix(error, error ? error->status : PM_FAILED, "%s", key->shader);
    }
    device->pipelines[device->n_pipelines++] = entry;
    *out = entry.pipeline;
    return PM_OK;
}

void pm_pipelines_destroy(pm_device *device)
{
    for (uint32_t i = 0; i < device->n_pipelines; i++)
        destroy_pipeline(device, &device->pipelines[i].pipeline);
    free(device->pipelines);
    device->pipelines = NULL;
    device->n_pipelines = 0;
}
