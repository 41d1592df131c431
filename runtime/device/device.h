/* A Vulkan device as the rest of the runtime sees it: facts, rules, memory, pipelines, one compute queue. All
 * calls go through the table `vk`, so that a test can put its own functions there. */
#ifndef PM_DEVICE_DEVICE_H
#define PM_DEVICE_DEVICE_H

#include "device/rules.h"
#include "device/tuning.h"
#include "pumice.h"

#include <volk.h>

typedef struct pm_pipeline {
    VkPipeline pipeline;
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
} pm_pipeline;

/* What a pipeline can have at most: the operators' dispatches need less (plan/pieces.c asserts it). */
enum { PM_PIPELINE_SPEC = 16, PM_PIPELINE_BINDINGS = 32 };

/* What a pipeline is made from; two equal keys give one pipeline. */
typedef struct pm_pipeline_key {
    const char *shader;
    uint32_t variant;    /* PM_SHADER_* flags */
    uint32_t n_bind;     /* bindings 0 .. n_bind-1 */
    uint32_t texel_mask; /* bit i: binding i is a uniform texel buffer, else a storage buffer */
    uint32_t n_push;     /* 32-bit words of push constants */
    uint32_t subgroup;   /* its size, where one is asked for; else 0 */
    uint32_t n_spec, spec[PM_PIPELINE_SPEC];
} pm_pipeline_key;

typedef struct pm_pipeline_entry {
    pm_pipeline_key key;
    pm_pipeline pipeline;
} pm_pipeline_entry;

struct pm_trace;

struct pm_device {
    pm_device_facts facts;
    pm_device_limits limits; /* pretended; facts are lowered already */
    pm_rules rules;
    char choice[1200];
    bool lost;                            /* latched: nothing is submitted any more */
    bool matrix_tested, attention_tested; /* see plan/matrix_test.c */
    bool compile_only, has_statistics;    /* see pm_device_options; device/pipeline_statistics.h */
    const struct pm_trace *trace;         /* who watches what plans compute (plan/trace.h), or NULL */

    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    struct VolkDeviceTable vk;
    uint32_t queue_family;
    VkQueue queue;
    VkSemaphore timeline;
    uint64_t submitted;    /* value that the last submit will signal */
    double driver_seconds; /* of the host's thread, in submitting and waiting */

    VkPhysicalDeviceMemoryProperties memory;
    uint64_t allocated;                      /* bytes, of the heap that tensors lie in */
    uint32_t n_allocations, max_allocations; /* of any kind */
    uint32_t storage_type;                   /* memory type of tensors */
    bool storage_mapped;                     /* tensors are mapped, host-visible and coherent */
    uint32_t transfer_type; /* memory type of staging buffers: host-visible, coherent, cached if it can be */

    pm_tuning tuning;
    void (*say)(void *user, const char *line); /* see pm_device_options */
    void *user;

    VkPipelineCache cache;
    char cache_path[512]; /* "" : none */
    pm_pipeline_entry *pipelines;
    uint32_t n_pipelines, cap_pipelines;
};

/* One allocation with one buffer over all of it. */
typedef struct pm_block {
    VkDeviceMemory memory;
    VkBuffer buffer;
    VkDeviceSize size, allocated; /* of the buffer, and of the memory behind it */
    uint32_t memory_type;
    unsigned char *mapped; /* NULL when it is not */
} pm_block;

/* device/extensions.c: which of the extensions that have a use a device has; and the names of those to
 * enable. */
typedef struct pm_offered {
    bool budget, subgroups, matrix, bf16, statistics, portability;
} pm_offered;
pm_offered pm_extensions_offered(VkPhysicalDevice physical);
enum { PM_MAX_EXTENSIONS = 8 };
uint32_t pm_device_extensions(pm_device *device, const pm_offered *offered,
                              const char *names[PM_MAX_EXTENSIONS]);

/* device/memory.c: chooses memory types, once the device is there. */
pm_status pm_memory_choose(pm_device *device, bool no_mapped_memory, pm_error *error);

/* Blocks fail with PM_NO_MEMORY. */
pm_status pm_block_create(pm_device *device, VkDeviceSize size, uint32_t memory_type, bool map, pm_block *out,
                          pm_error *error);
void pm_block_destroy(pm_device *device, pm_block *block);

/* device/pipeline.c. Pipelines belong to the device. Those of the keys that are not there yet are made, by
 * several threads at once; after a failure, which names the shader, the others are there all the same. */
pm_status pm_pipelines_make(pm_device *device, const pm_pipeline_key *keys, uint32_t count, pm_error *error);
pm_status pm_pipeline_get(pm_device *device, const pm_pipeline_key *key, pm_pipeline *out, pm_error *error);
void pm_pipelines_destroy(pm_device *device);

/* device/pipeline_cache.c: the driver's cache on disk, under our own checksum and key, since a damaged one
 * can crash a driver. Both are silent about failure: a cache is never needed. */
void pm_pipeline_cache_load(pm_device *device);
void pm_pipeline_cache_save(pm_device *device);

/* device/queue.c: submits command buffers in order and returns the timeline value that tells their end. */
pm_status pm_queue_submit(pm_device *device, uint32_t count, const VkCommandBuffer *buffers, uint64_t *value,
                          pm_error *error);
pm_status pm_queue_wait(pm_device *device, uint64_t value, pm_error *error);
/* Whether the timeline has reached a value, as far as the driver tells without waiting. */
bool pm_queue_reached(pm_device *device, uint64_t value);

/* Turns a VkResult that is a failure into a status and a message; latches a lost device. */
pm_status pm_vk_fail(pm_device *device, VkResult result, const char *what, pm_error *error);

#endif
