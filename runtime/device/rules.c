/* Facts in, choices out; see rules.h. */
#include "device/rules.h"

#define DRIVER_ID_MESA_LLVMPIPE 13u /* VkDriverId, without Vulkan's headers */

pm_rules pm_rules_for(const pm_device_facts *facts)
{
    pm_rules rules = {
        .is_cpu = facts->type == PM_DEVICE_CPU,
        .lanes = 64,
        .gemm_lanes = 32,
        .most_rounds = UINT32_MAX,
    };
    if (rules.is_cpu) {
        /* CPU drivers run the lanes of one workgroup as vectors in a loop, on one thread: a workgroup that is
         * one vector wide keeps register tiles in registers. Loads from storage buffers are bounds-checked
         * lane by lane; texel fetches are one straight vector load, two to three times faster. */
        rules.texel_inputs = true;
        /* lavapipe compiles a kernel anew, for half a second, when a buffer's size becomes a power of two or
         * stops being one, and when bits 8 to 15 of a texel view's size become all zero or stop being so
         * (measured on 22.3). */
        rules.even_views = true;
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
