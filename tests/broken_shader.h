/* A device with a defect: below the runtime, one instruction of one shader is replaced as the driver gets it.
 */
#ifndef PM_TESTS_BROKEN_SHADER_H
#define PM_TESTS_BROKEN_SHADER_H

#include "unit.h"

#include "device/device.h"
#include "device/shaders_embedded.h"

#include <stdlib.h>
#include <string.h>

/* Opcodes of SPIR-V with one layout. */
enum { BROKEN_F_ADD = 129, BROKEN_F_SUB = 131, BROKEN_F_MUL = 133 };

static struct {
    PFN_vkCreateShaderModule create;
    const char *shader;
    uint32_t from, to; /* opcodes; from 0: the lowest bit of the float constant `to` */
    unsigned replaced;
} broken;

static inline bool is_words_of(const uint32_t *words, const char *shader)
{
    for (uint32_t i = 0; i < pm_shader_binary_count; i++) {
        if (pm_shader_binaries[i].words == words)
            return strncmp(pm_shader_binaries[i].name, shader, strlen(shader)) == 0;
    }
    return false;
}

static inline VKAPI_ATTR VkResult VKAPI_CALL broken_create(VkDevice vk_device,
                                                           const VkShaderModuleCreateInfo *info,
                                                           const VkAllocationCallbacks *callbacks,
                                                           VkShaderModule *out)
{
    VkShaderModuleCreateInfo changed = *info;
    size_t count = info->codeSize / 4;
    if (!is_words_of(info->pCode, broken.shader)) return broken.create(vk_device, info, callbacks, out);
    uint32_t *words = malloc(info->codeSize);
    memcpy(words, info->pCode, info->codeSize);
    for (size_t at = 5; at < count; at += words[at] >> 16) {
        uint32_t op = words[at] & 0xffffu;
        if (broken.from && op == broken.from) {
            words[at] = (words[at] & 0xffff0000u) | broken.to;
            broken.replaced++;
        } else if (!broken.from && op == 43 /* OpConstant */ && words[at] >> 16 == 4 &&
                   words[at + 3] == broken.to) {
            words[at + 3] ^= 1u;
            broken.replaced++;
        }
    }
    changed.pCode = words;
    VkResult result = broken.create(vk_device, &changed, callbacks, out);
    free(words);
    return result;
}

/* Opens the default device with every instruction `from` of the shaders whose names begin so made a `to`;
 * with from 0, with the last bit of every constant of the bits `to` flipped. */
static inline pm_device *broken_device(const char *shader, uint32_t from, uint32_t to)
{
    pm_device *opened;
    pm_error error = {0};
    pm_device_options options = {.off = PM_BIT(PM_PIPELINE_CACHE)};
    if (pm_device_open(&options, &opened, &error) != PM_OK) fail_msg("%s", error.message);
    broken.create = opened->vk.vkCreateShaderModule;
    broken.shader = shader;
    broken.from = from;
    broken.to = to;
    broken.replaced = 0;
    opened->vk.vkCreateShaderModule = broken_create;
    return opened;
}

#endif
