/* What a driver's compiler says of the pipelines it made (VK_KHR_pipeline_executable_properties): registers,
 * spills, its own estimate of time. Only on devices opened with pm_device_options.compile_only. */
#ifndef PM_DEVICE_PIPELINE_STATISTICS_H
#define PM_DEVICE_PIPELINE_STATISTICS_H

#include "device/device.h"

enum { PM_MOST_STATISTICS = 64 };

/* Each of these is -1 where the driver does not say. */
typedef struct pm_pipeline_statistics {
    double registers; /* of one invocation: AMD's VGPRs; of NVIDIA, Intel and others those that are live */
    double spills;    /* registers that went to memory, or instructions that move them there */
    double scratch_bytes; /* private memory of one invocation: of spills, and of arrays not in registers */
    double shared_bytes;  /* of a workgroup */
    double occupancy;     /* subgroups that a SIMD or a multiprocessor can hold at once */
    double instructions, code_bytes;
    double cycles;  /* the compiler's estimate: AMD's inverse throughput, Intel's and NVIDIA's cycle count.
                     * Comparable only between versions of one kernel on one device */
    double latency; /* the same of a single subgroup, where that is another number */
    uint32_t subgroup_size;
    /* Everything, as the driver names it. Of several programs in one pipeline, the one of the widest
     * subgroups. */
    struct {
        char name[64];
        double value;
    } all[PM_MOST_STATISTICS];
    uint32_t count;
} pm_pipeline_statistics;

/* Adds the feature to those that a device is made with; device->has_statistics says whether it has the
 * extension and, from here on, whether it has both. `features` must live until the device is made. */
void pm_pipeline_statistics_enable(pm_device *device, VkPhysicalDeviceVulkan12Features *chain,
                                   VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR *features);

/* All -1 when the device has no statistics. Fails with PM_FAILED, PM_NO_MEMORY as the driver does. */
pm_status pm_pipeline_statistics_read(pm_device *device, VkPipeline pipeline, pm_pipeline_statistics *out,
                                      pm_error *error);

/* The assembly that the compiler made of a pipeline. *listing is the caller's to free, and NULL when the
 * driver does not show it; `dialect` is the driver's name for it. Fails as above. */
pm_status pm_pipeline_assembly(pm_device *device, VkPipeline pipeline, char dialect[64], char **listing,
                               pm_error *error);

#endif
