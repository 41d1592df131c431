/* Every rule that depends on the vendor or the kind of device, in one place: facts in, choices out. Kernels
 * and operators see only the choices. */
#ifndef PM_DEVICE_RULES_H
#define PM_DEVICE_RULES_H

#include "pumice.h"

typedef struct pm_rules {
    bool is_cpu; /* a CPU driver: no shared-memory tiles, wide register tiles, lanes along the last axis */
    bool texel_inputs; /* read inputs through uniform texel buffers */
    bool even_views;   /* keep the sizes of texel views and buffers in one class: see rules.c */
    /* How many rounds the loops of one invocation may make in all; see rules.c. */
    uint32_t most_rounds;
    uint32_t lanes;      /* workgroup size of element-wise kernels */
    uint32_t gemm_lanes; /* workgroup size of register-tile kernels: lanes along the output's columns */
} pm_rules;

pm_rules pm_rules_for(const pm_device_facts *facts);

/* How much a device of this type is preferred; higher is better. */
int pm_device_rank(pm_device_type type);
const char *pm_device_type_name(pm_device_type type);

#endif
