/* Facts in, choices out; see rules.h. */
#include "device/rules.h"

#define DRIVER_ID_MESA_LLVMPIPE 13u /* VkDriverId, without Vulkan's headers */

pm_rules pm_rules_for(const pm_device_facts *facts, const pm_device_limits *limits, uint32_t off)
{
    pm_rules rules = {
        .lanes = 64,
        .gemm_lanes = 32,
        .most_rounds = UINT32_MAX,
        .group_lanes = facts->max_invocations < 256 ? 128 : 256,
        .tile = {(uint32_t)limits->tile[0], (uint32_t)limits->tile[1]},
        .first_work = 5e5,
    };
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        if (pm_feature_offered(facts, (pm_feature)i) && !(off >> i & 1u)) rules.on |= 1u << i;
    }
    /* PM_TEXEL_INPUTS: CPU drivers check loads from storage buffers lane by lane; texel fetches are one
     * straight vector load, two to three times faster. PM_EVEN_VIEWS: lavapipe compiles a kernel anew, for
     * half a second, when a buffer's size becomes a power of two or stops being one, and when bits 8 to 15 of
     * a texel view's size become all zero or stop being so (measured on 22.3). */
    rules.is_cpu = pm_on(&rules, PM_CPU_KERNELS);
    if (rules.is_cpu) {
        /* CPU drivers run the lanes of one workgroup as vectors in a loop, on one thread: a workgroup that is
         * one vector wide keeps register tiles in registers. */
        /* No watchdog looks at them, and a piece may have to be compiled anew. */
        rules.first_work = 1e8;
        rules.gemm_lanes = 8;
        rules.lanes = 32;
    }
    /* Mesa's CPU driver ends all loops of an invocation, without a word, after 65535 rounds. */
    if (facts->driver_id == DRIVER_ID_MESA_LLVMPIPE) rules.most_rounds = 65535;
    return rules;
}

int pm_device_rank(pm_device_type type)
{
    switch (type) {
    case PM_DEVICE_DISCRETE:
        return 4;
    case PM_DEVICE_INTEGRATED:
        return 3;
    case PM_DEVICE_VIRTUAL:
        return 2;
    case PM_DEVICE_CPU:
        return 1;
    case PM_DEVICE_OTHER:
        break;
    }
    return 0;
}

const char *pm_device_type_name(pm_device_type type)
{
    switch (type) {
    case PM_DEVICE_DISCRETE:
        return "discrete GPU";
    case PM_DEVICE_INTEGRATED:
        return "integrated GPU";
    case PM_DEVICE_VIRTUAL:
        return "virtual GPU";
    case PM_DEVICE_CPU:
        return "CPU";
    case PM_DEVICE_OTHER:
        break;
    }
    return "other";
}
