/* The table of what can be turned off. To add something: pm_feature in pumice_device.h, a row here, and where
 * it is used pm_on(rules, ...). tests/test_switches.c then turns it off. */
#include "base/status.h"
#include "base/words.h"
#include "device/rules.h"

_Static_assert(PM_FEATURES <= 64, "a bit of pm_rules.on for each");

static const struct {
    const char *name, *about;
} rows[PM_FEATURES] = {
    [PM_TEXEL_INPUTS] = {"texel-inputs",
                         "inputs are read through texel views, of which CPU drivers make faster "
                         "code; off: storage buffers"},
    [PM_EVEN_VIEWS] = {"even-views", "sizes of views stay in one class, lest Mesa's CPU driver compile anew"},
    [PM_CPU_KERNELS] = {"cpu-kernels", "tiles and workgroups for a CPU driver; off: those of a GPU"},
    [PM_SHARED_FETCHES] =
        {"shared-fetches",
         "lanes of a CPU driver that need the same part of a product's operand fetch it for "
         "each other; off: each for itself"},
    [PM_SHARED_TILES] = {"shared-tiles",
                         "products and convolutions of a GPU (or without cpu-kernels) go through "
                         "shared memory; off: register tiles"},
    [PM_MATRIX_UNITS] = {"matrix-units",
                         "in precision fast matrix units multiply, in 16 bits; off: as precision f32"},
    [PM_MATRIX_F16] = {"matrix-f16",
                       "they do in f16; off: in bf16, which has the range of f32, or not at all"},
    [PM_MATRIX_ATTENTION] = {"matrix-attention",
                             "attention is multiplied by matrix units, too; off: as precision f32"},
    [PM_SUBGROUP_SIZES] =
        {"subgroup-sizes",
         "a size of subgroups is asked for where a dispatch has few lanes; off: the driver's"},
    [PM_MAPPED_MEMORY] = {"mapped-memory", "the host writes into tensors; off: through a staging buffer"},
    [PM_COMPUTE_QUEUE] = {"compute-queue",
                          "a queue that does not draw as well; off: the first that computes"},
    [PM_MEMORY_BUDGET] = {"memory-budget", "the driver says how much memory is left; off: counted here"},
    [PM_PIPELINE_CACHE] = {"pipeline-cache", "compiled shaders are kept on disk"},
    [PM_PARALLEL_PIPELINES] = {"parallel-pipelines", "several threads compile shaders at once"},
    [PM_TUNED_TILES] = {"tuned-tiles", "tiles that were measured to be fast on this device; off: by rule"},
    [PM_MEMORY_REUSE] = {"memory-reuse", "tensors that are never alive together share memory"},
    [PM_FEW_BARRIERS] = {"few-barriers", "a barrier only where memory overlaps; off: before every dispatch"},
    [PM_SUBMIT_MERGING] = {"submit-merging",
                           "command buffers are submitted together as time allows; off: one "
                           "at a time"},
    [PM_WHOLE_DISPATCHES] = {"whole-dispatches",
                             "CPU drivers, which no watchdog looks at, run dispatches whole from the first "
                             "run on; off: the first runs measure each, as on a GPU"},
    [PM_BIAS_EPILOGUE] = {"bias-epilogue",
                          "products and convolutions add the bias; off: a kernel of its own"},
    [PM_SAMPLE_EPILOGUE] = {"sample-epilogue",
                            "convolutions add what each sample adds; off: a kernel of its own"},
    [PM_RESIDUAL_EPILOGUE] = {"residual-epilogue",
                              "products and convolutions add the residual; off: a kernel of "
                              "its own"},
    [PM_ACTIVATION_EPILOGUE] = {"activation-epilogue",
                                "products and convolutions apply an activation that alone reads them; off: a "
                                "kernel of its own"},
    [PM_GATE_EPILOGUE] = {"gate-epilogue",
                          "products multiply by a gate that alone reads them; off: a kernel of its own"},
    [PM_NORM_ACTIVATION] = {"norm-activation",
                            "normalisations apply SiLU, and their gradients its; off: kernels of its own"},
    [PM_NORM_MODULATION] = {"norm-modulation",
                            "normalisations scale and shift by what modulates them; off: a kernel of its "
                            "own"},
    [PM_AVERAGE_EPILOGUE] = {"average-epilogue",
                             "the optimiser's kernel updates the moving average; off: a kernel of its own"},
    [PM_GATED_UNITS] = {"gated-units", "silu(gate) * up is one kernel, and its gradients are; off: several"},
    [PM_TALL_PRODUCTS] = {"tall-products", "a batch of matrices times one is one product; off: one each"},
    [PM_TURNED_PRODUCTS] = {"turned-products",
                            "CPU drivers transpose B of a tall product A B^T first; off: read as it lies"},
    [PM_SPREAD_ROWS] =
        {"spread-rows",
         "CPU drivers copy A of a product into longer rows first where its own are a multiple of 2 "
         "KiB apart; off: read as it lies"},
    [PM_ROW_PRODUCTS] = {"row-products", "products of one row have a kernel of their own"},
    [PM_JOINED_PRODUCTS] = {"joined-products", "products of the same row are one dispatch; off: one each"},
    [PM_JOINED_CACHES] = {"joined-caches",
                          "queries and keys are turned, keys and values cached by one dispatch each; off: by "
                          "two"},
    [PM_ROW_NORMS] = {"row-norms", "a few rows are normalised by one kernel; off: by two, as many are"},
    [PM_ATTENTION_TOKENS] = {"attention-tokens",
                             "attention of a few queries has a workgroup for each; off: a lane for each"},
    [PM_ATTENTION_PRODUCTS] = {"attention-products",
                               "CPU drivers write attention's weights down, of some samples at a time, and "
                               "multiply them as matrices; off: its kernels add everything up"},
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
    case PM_WHOLE_DISPATCHES:
    case PM_ATTENTION_PRODUCTS:
    case PM_TURNED_PRODUCTS:
    case PM_SPREAD_ROWS:
        return facts->type == PM_DEVICE_CPU;
    case PM_SHARED_FETCHES:
        return pm_showing_of(facts) != PM_SHOWS_SLOWLY;
    case PM_MATRIX_UNITS:
    case PM_MATRIX_ATTENTION:
        return facts->matrix_subgroup != 0 && (facts->matrix[0] != 0 || facts->matrix_bf16[0] != 0);
    case PM_MATRIX_F16:
        return facts->matrix_subgroup != 0 && facts->matrix[0] != 0;
    case PM_SUBGROUP_SIZES:
        return pm_few_subgroup(facts) != 0;
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

static pm_status read_one(const char *from, const char *name, uint64_t *off, pm_error *error)
{
    pm_nearest nearest = {.word = name};
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        pm_nearest_try(&nearest, rows[i].name);
        if (nearest.distance > 0) continue;
        *off |= PM_BIT(i);
        return PM_OK;
    }
    return pm_fail(error, PM_BAD_USAGE,
                   "%s: nothing \"%.60s\" to turn off; did you mean %s? `pumice devices` "
                   "lists what there is",
                   from, name, nearest.best);
}

pm_status pm_features_parse(const char *from, const char *text, uint64_t *off, pm_error *error)
{
    char one[64];
    pm_status status = PM_OK;
    while (status == PM_OK && pm_word_next(&text, one, sizeof one)) status = read_one(from, one, off, error);
    return status;
}
