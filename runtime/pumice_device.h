/* Devices: what is known of them, how one is chosen, limited and tuned. Part of pumice.h. */
#ifndef PUMICE_DEVICE_H
#define PUMICE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "pumice_status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_device pm_device;

/* How numbers are computed. PM_EXACT: f32, the same bits on every conformant driver. PM_F32: the same kernels
 * with fma, the same bits on one driver only. PM_FAST: as PM_F32, but matrix units multiply what they can,
 * with operands rounded to f16 (without PM_MATRIX_F16 to bf16) and sums in f32; on a device without any
 * (PM_MATRIX_UNITS) it is PM_F32. PM_ROUNDED: as PM_F32, but its kernels round the same operands to f16
 * themselves: what PM_FAST makes of a training, seen on any device, and no faster. A model trained in one of
 * these two needs pm_loss_scale. */
typedef enum pm_precision { PM_EXACT = 0, PM_F32 = 1, PM_FAST = 2, PM_ROUNDED = 3 } pm_precision;

#define PM_PRECISIONS 4

/* By pm_precision: "exact", "f32", "fast", "rounded", and behind them NULL. */
extern const char *const pm_precision_names[PM_PRECISIONS + 1];

/* Whether operands of products are rounded to 16 bits, where there is something to round them. */
static inline bool pm_precision_is_half(pm_precision precision)
{
    return precision == PM_FAST || precision == PM_ROUNDED;
}

typedef enum pm_device_type {
    PM_DEVICE_OTHER = 0,
    PM_DEVICE_INTEGRATED = 1,
    PM_DEVICE_DISCRETE = 2,
    PM_DEVICE_VIRTUAL = 3,
    PM_DEVICE_CPU = 4,
} pm_device_type;

/* What is known of a device: filled once, never changed. Sizes are in bytes. */
typedef struct pm_device_facts {
    uint32_t index;        /* position in the loader's list */
    char name[256];        /* as the driver reports it */
    char driver[256];      /* driver's name */
    char driver_info[256]; /* driver's version in words */
    char uuid[37];         /* of the device, 8-4-4-4-12 */
    pm_device_type type;
    uint32_t vendor_id, device_id, driver_id, driver_version;
    uint32_t api_version;        /* as VK_MAKE_API_VERSION packs it */
    uint64_t memory_bytes;       /* largest device-local heap */
    uint64_t max_allocation;     /* of one memory allocation */
    uint64_t max_storage_range;  /* of one storage buffer binding */
    uint64_t max_texel_elements; /* of one texel buffer view */
    uint32_t max_shared_bytes, max_invocations, max_groups[3];
    uint64_t core_cache;       /* second-level cache of a core, where the device is a CPU; 0: unknown */
    uint32_t buffer_alignment; /* every binding's offset is a multiple of it; at least 256 */
    uint32_t subgroup_size;
    uint32_t
        subgroup_sizes[2];   /* the least and the most that the driver may choose for a kernel; 0: unknown */
    bool subgroups_asked;    /* a kernel can ask for any power of two of these, */
    uint32_t most_subgroups; /* if a workgroup then has so many subgroups at most */
    bool subgroup_shows;     /* invocations of a subgroup can show each other values, in two ways, and vote */
    /* Rows, columns and terms of the fragments that matrix units multiply, f16 by f16 or bf16 by bf16 added
     * up in f32, in subgroups of matrix_subgroup; 0: there are none that this build can use. */
    uint32_t matrix[3], matrix_bf16[3], matrix_subgroup;
    float timestamp_period; /* nanoseconds a tick; 0: no timestamps */
    bool unified_memory;    /* device-local memory can be mapped */
    bool memory_budget;     /* VK_EXT_memory_budget */
    bool compute_queue;     /* has a queue for computing that does not draw as well */
    bool usable;            /* has a compute queue and Vulkan 1.2 */
} pm_device_facts;

/* A smaller device than there is, to pretend: tests of what happens where a device has little run anywhere.
 * 0 is the device's own. */
typedef struct pm_device_limits {
    uint64_t storage_range; /* bytes of one binding, of texel views as well */
    uint64_t shared;        /* bytes of shared memory of a workgroup */
    uint64_t invocations;   /* of a workgroup */
    uint64_t groups;        /* workgroups along an axis */
    uint64_t texels;        /* elements of a texel view */
    uint64_t memory;        /* bytes of device memory */
    uint64_t allocation;    /* bytes of one allocation */
    uint64_t submit;        /* milliseconds that one submit aims for, where a plan does not say */
    uint64_t tile[2];       /* rows and vec4 columns of every matrix tile, for whichever is best */
    uint64_t subgroup;      /* invocations of every kernel's subgroups, for the driver's choice */
} pm_device_limits;

/* Reads "storage-range=8MiB,shared=16KiB,..." into *limits; what is not named stays. `from` begins messages:
 * where the text is from. Fails with PM_BAD_USAGE. */
pm_status pm_limits_parse(const char *from, const char *text, pm_device_limits *limits, pm_error *error);

/* Name and one line about limit number i; NULL beyond the last. */
const char *pm_limit_name(uint32_t i, const char **about);

/* What can be turned off: optional features of devices, and what is only done for speed. None changes a
 * result. */
typedef enum pm_feature {
    PM_TEXEL_INPUTS,
    PM_EVEN_VIEWS,
    PM_CPU_KERNELS,
    PM_SHARED_FETCHES,
    PM_SHARED_TILES,
    PM_MATRIX_UNITS,
    PM_MATRIX_F16,
    PM_MATRIX_ATTENTION,
    PM_SUBGROUP_SIZES,
    PM_MAPPED_MEMORY,
    PM_COMPUTE_QUEUE,
    PM_MEMORY_BUDGET,
    PM_PIPELINE_CACHE,
    PM_PARALLEL_PIPELINES,
    PM_TUNED_TILES,
    PM_MEMORY_REUSE,
    PM_FEW_BARRIERS,
    PM_SUBMIT_MERGING,
    PM_WHOLE_DISPATCHES,
    PM_BIAS_EPILOGUE,
    PM_SAMPLE_EPILOGUE,
    PM_RESIDUAL_EPILOGUE,
    PM_ACTIVATION_EPILOGUE,
    PM_GATE_EPILOGUE,
    PM_NORM_ACTIVATION,
    PM_NORM_MODULATION,
    PM_AVERAGE_EPILOGUE,
    PM_GATED_UNITS,
    PM_TALL_PRODUCTS,
    PM_TURNED_PRODUCTS,
    PM_SPREAD_ROWS,
    PM_ROW_PRODUCTS,
    PM_JOINED_PRODUCTS,
    PM_JOINED_CACHES,
    PM_ROW_NORMS,
    PM_ATTENTION_TOKENS,
    PM_ATTENTION_PRODUCTS,
    PM_PRODUCT_CONVOLUTIONS,
    PM_LOGITS_IN_PLACE,
    PM_CACHED_DECODE,
    PM_SKIPPED_STEPS,
    PM_FEATURES /* how many there are */
} pm_feature;

/* Of a set of them. */
#define PM_BIT(feature) (UINT64_C(1) << (feature))

/* Its name, and one line about it. */
const char *pm_feature_name(pm_feature feature, const char **about);

/* Reads "name,name,..." and adds PM_BIT(feature) of each to *off. Fails with PM_BAD_USAGE. */
pm_status pm_features_parse(const char *from, const char *text, uint64_t *off, pm_error *error);

/* Whether the device, of these facts, has any use for the feature. */
bool pm_feature_offered(const pm_device_facts *facts, pm_feature feature);

typedef struct pm_device_options {
    /* Index, part of the name, beginning of the UUID, or "cpu". NULL: $PUMICE_DEVICE, then the rule. */
    const char *select;
    pm_device_limits limits; /* before those of $PUMICE_LIMIT, which count where these are 0 */
    uint64_t off;            /* bits PM_BIT(pm_feature); those of $PUMICE_OFF are off as well */
    /* Plans make their pipelines, with the compiler's statistics where the driver has any, and nothing else:
     * running one does nothing, writing to it is forgotten, what is read is zero. For drivers that only
     * compile, and for all that is asked of a compiler. */
    bool compile_only;
    /* Is told, in one line, what takes seconds and happens once (tiles that are measured on first use), and
     * what proved to be of no use on the device. May be NULL. */
    void (*say)(void *user, const char *line);
    void *user;
} pm_device_options;

/* Lists all devices that the loader shows, usable or not. *count holds the capacity on entry and the number
 * of devices on return; `facts` may be NULL when the capacity is 0. Fails with PM_NO_DEVICE when there is no
 * loader or no driver, or when a driver fails to enumerate. */
pm_status pm_device_list(pm_device_facts *facts, uint32_t *count, pm_error *error);

/* Opens a device; `options` may be NULL. The rule, when nothing is selected: discrete before integrated
 * before virtual before CPU, then the lower index. The caller closes it, after every plan on it is destroyed.
 * Fails with PM_NO_DEVICE when there is no usable device or none that matches, PM_BAD_USAGE when a limit is
 * above the device's own or a variable cannot be read, PM_NO_MEMORY. */
pm_status pm_device_open(const pm_device_options *options, pm_device **out, pm_error *error);
void pm_device_close(pm_device *device);

/* Owned by the device; with the limits that it pretends. */
const pm_device_facts *pm_device_facts_of(const pm_device *device);

/* Whether a feature is used: offered, and not turned off. */
bool pm_device_uses(const pm_device *device, pm_feature feature);

/* Measures which tile is the fastest for each class of products and convolutions that plans of this device
 * have asked for so far, and keeps that on disk for later ones, `again` also where it is known; *tuned is of
 * how many classes. No result changes by a bit in precision exact. GPUs are tuned on first use, when a plan
 * asks for what is not known yet; CPU drivers, whose compilers take long, only by this function. `say` may be
 * NULL. Fails as running a plan may. */
typedef struct pm_tune_options {
    double seconds; /* to begin no other measurement after */
    bool again;
    void (*say)(void *user, const char *line);
    void *user;
} pm_tune_options;
pm_status pm_device_tune(pm_device *device, const pm_tune_options *options, uint32_t *tuned, pm_error *error);

/* Bytes that tensors can still have on it: what is left of the budget that the driver gives this process
 * (VK_EXT_memory_budget), where it tells one, and of memory_bytes. It changes as others use the device. */
uint64_t pm_device_memory_free(const pm_device *device);

/* One line that says why this device was chosen, what limits it pretends and what is off. Owned by the
 * device.
 */
const char *pm_device_choice(const pm_device *device);

#ifdef __cplusplus
}
#endif
#endif
