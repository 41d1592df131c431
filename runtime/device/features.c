/* The table of what can be turned off. To add something: pm_feature in pumice.h, a row here, and where it is
 * used pm_on(rules, ...). tests/test_switches.c then turns it off. */
#include "base/status.h"
#include "base/words.h"
#include "device/rules.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *about;
} rows[PM_FEATURES] = {
    [PM_TEXEL_INPUTS] = {"texel-inputs",
                         "inputs are read through texel views, of which CPU drivers make faster "
                         "code; off: storage buffers"},
    [PM_EVEN_VIEWS] = {"even-views", "sizes of views stay in one class, lest Mesa's CPU driver compile anew"},
    [PM_CPU_KERNELS] = {"cpu-kernels", "tiles and workgroups for a CPU driver; off: those of a GPU"},
    [PM_MAPPED_MEMORY] = {"mapped-memory", "the host writes into tensors; off: through a staging buffer"},
    [PM_COMPUTE_QUEUE] = {"compute-queue",
                          "a queue that does not draw as well; off: the first that computes"},
    [PM_MEMORY_BUDGET] = {"memory-budget", "the driver says how much memory is left; off: counted here"},
    [PM_PIPELINE_CACHE] = {"pipeline-cache", "compiled shaders are kept on disk"},
    [PM_MEMORY_REUSE] = {"memory-reuse", "tensors that are never alive together share memory"},
    [PM_FEW_BARRIERS] = {"few-barriers", "a barrier only where memory overlaps; off: before every dispatch"},
    [PM_SUBMIT_MERGING] = {"submit-merging",
                           "command buffers are submitted together as time allows; off: one "
                           "at a time"},
    [PM_BIAS_EPILOGUE] = {"bias-epilogue",
                          "products and convolutions add the bias; off: a kernel of its own"},
    [PM_SAMPLE_EPILOGUE] = {"sample-epilogue",
                            "convolutions add what each sample adds; off: a kernel of its own"},
    [PM_RESIDUAL_EPILOGUE] = {"residual-epilogue",
                              "products and convolutions add the residual; off: a kernel of "
                              "its own"},
    [PM_TALL_PRODUCTS] = {"tall-products", "a batch of matrices times one is one product; off: one each"},
    [PM_PRODUCT_CONVOLUTIONS] = {"product-convolutions", "1x1 convolutions run as products"},
    [PM_LOGITS_IN_PLACE] = {"logits-in-place", "gradients of a large head's logits replace them"},
    [PM_CACHED_DECODE] = {"cached-decode",
                          "text from left to right keeps keys and values; off: every token reads "
                          "the whole text"},
    [PM_SKIPPED_STEPS] = {"skipped-steps", "steps of the ancestral sampler that reveal nothing are left out"},
};

const char *pm_feature_name(pm_feature feature, const char **about)
{
    *about = rows[feature].about;
    return rows[feature].name;
}

bool pm_feature_offered(const pm_device_facts *facts, pm_feature feature)
{
    switch (feature) {
    case PM_TEXEL_INPUTS: /* GPUs read storage buffers as fast */
    case PM_EVEN_VIEWS:
    case PM_CPU_KERNELS:
        return facts->type == PM_DEVICE_CPU;
    case PM_MAPPED_MEMORY:
        return facts->unified_memory;
    case PM_MEMORY_BUDGET:
        return facts->memory_budget;
    case PM_COMPUTE_QUEUE:
        return facts->compute_queue;
    default:
        return true;
    }
}

static pm_status read_one(const char *from, const char *name, uint32_t *off, pm_error *error)
{
    uint32_t best = UINT32_MAX;
    const char *nearest = "";
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        uint32_t distance = pm_edit_distance(name, rows[i].name);
        if (distance == 0) {
            *off |= 1u << i;
            return PM_OK;
        }
        if (distance >= best) continue;
        best = distance;
        nearest = rows[i].name;
    }
    return pm_fail(error, PM_BAD_USAGE,
                   "%s: nothing \"%.60s\" to turn off; did you mean %s? `pumice devices` "
                   "lists what there is",
                   from, name, nearest);
}

pm_status pm_features_parse(const char *from, const char *text, uint32_t *off, pm_error *error)
{
    for (const char *at = text;;) {
        char one[64];
        size_t length = strcspn(at, ",");
        (void)snprintf(one, sizeof one, "%.*s", (int)(length < 63 ? length : 63), at);
        pm_status status = read_one(from, one, off, error);
        if (status != PM_OK || !at[length]) return status;
        at += length + 1;
    }
}
