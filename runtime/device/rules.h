/* Every rule that depends on the vendor or the kind of device, in one place: facts in, choices out. Kernels
 * and operators see only the choices. */
#ifndef PM_DEVICE_RULES_H
#define PM_DEVICE_RULES_H

#include "pumice.h"

/* VkDriverId, without Vulkan's headers. */
#define PM_DRIVER_ID_MESA_LLVMPIPE 13u

/* Lanes that keep a GPU busy: with fewer, the rest of it has nothing to do. */
#define PM_BUSY_LANES 8192u

typedef struct pm_rules {
    bool is_cpu;   /* a CPU driver: no shared-memory tiles, wide register tiles, lanes along the last axis */
    uint64_t on;   /* bits PM_BIT(pm_feature): offered, not turned off, and not idle */
    uint64_t idle; /* what would be on, did kernels for a CPU driver not take its place */
    /* How many rounds the loops of one invocation may make in all; see rules.c. */
    uint32_t most_rounds;
    uint32_t lanes;        /* workgroup size of element-wise kernels */
    bool shuffles;         /* how lanes show values, for PM_SHARED_FETCHES: subgroupShuffle, not Broadcast */
    bool leaves_in_loop;   /* sums of a finished register tile; see shaders/include/tile.glsl */
    uint32_t gemm_lanes;   /* workgroup size of register-tile kernels: lanes along the output's columns */
    uint32_t group_lanes;  /* most lanes that work together: a power of two, 128 or 256 */
    uint32_t tile[2];      /* rows and vec4 columns that every matrix tile shall have; 0: the best */
    uint32_t tile_vec4s;   /* most vec4s that an invocation of those adds up in registers */
    uint32_t near_terms;   /* terms of long sums across rows that are added at once; see ops/tile.c */
    uint32_t shared_lanes; /* most lanes of a shared-memory tile, for PM_SHARED_TILES and PM_MATRIX_UNITS */
    uint32_t shared_bytes; /* and most bytes of it */
    uint32_t matrix[3], matrix_subgroup; /* as in the facts; for PM_MATRIX_UNITS */
    bool bf16;                           /* these fragments are of bf16, not of f16 */
    bool rounds;                         /* precision rounded: kernels round operands of products to f16 */
    uint32_t matrix_block[2]; /* rows and vec4 columns that a workgroup's block shall have; 0: the best */
    uint32_t attention_block; /* rows that a step of attention's backward pass takes; decides no bit */
    uint32_t
        attention_rows; /* of a lane of attention on a GPU, where that leaves PM_BUSY_LANES; nor does it */
    uint32_t
        attention_fragments;  /* of attention by matrix units, in a lane's registers: sums, and own rows */
    uint32_t attention_bytes; /* of attention's weights that are written down; for PM_ATTENTION_PRODUCTS */
    /* Sizes of subgroups to ask for (pm_subgroup_for), 0: none: of every kernel, and of dispatches of
     * few_lanes or less. */
    uint32_t subgroup, few_subgroup, few_lanes;
    uint32_t most_subgroups;  /* of a workgroup that asks for a size */
    double first_work;        /* operations plus bytes of the first submit of a kernel not known yet */
    struct pm_tuning *tuning; /* tiles that were measured, and those asked for (tuning.h); NULL: none */
    double tune_seconds;      /* for measuring on first use; 0: only by command */
    double work_rate;         /* what is guessed to be done of those a second, with PM_WHOLE_DISPATCHES */
} pm_rules;

/* `limits`, of which facts know already: for the rest. `off`: bits PM_BIT(pm_feature). */
pm_rules pm_rules_for(const pm_device_facts *facts, const pm_device_limits *limits, uint64_t off);

/* The size of subgroups that a dispatch of few lanes is to have on such a device; 0: the driver's. */
uint32_t pm_few_subgroup(const pm_device_facts *facts);

/* The size of subgroups to ask for of a kernel that needs none: with workgroups of so many lanes, and so many
 * lanes in all. 0: the driver chooses. */
uint32_t pm_subgroup_for(const pm_rules *rules, uint32_t lanes, uint64_t all_lanes);

static inline bool pm_on(const pm_rules *rules, pm_feature feature)
{
    return rules->on >> feature & 1u;
}

/* How one lane of a subgroup shows a value to all of them for less than a fetch costs. */
typedef enum pm_showing { PM_SHOWS_SLOWLY, PM_SHOWS_BY_BROADCAST, PM_SHOWS_BY_SHUFFLE } pm_showing;
pm_showing pm_showing_of(const pm_device_facts *facts);

/* How much a device of this type is preferred; higher is better. */
int pm_device_rank(pm_device_type type);
const char *pm_device_type_name(pm_device_type type);

#endif
