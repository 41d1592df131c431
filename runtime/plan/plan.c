/* The life of a plan, and the initial values of parameters; see plan.h for the stages. */
#include "plan/plan.h"

#include "base/clock.h"
#include "base/philox.h"
#include "base/status.h"
#include "base/threads.h"

#include <stdlib.h>
#include <string.h>

/* ---- Initial contents ---------------------------------------------------------------------------------- */

/* FNV-1a of the path: what makes a parameter's initial values independent of all other parameters. */
static uint32_t hash_path(const char *path)
{
    uint32_t hash = 2166136261u;
    for (; *path; path++) hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash;
}

void pm_init_values(const pm_tensor_info *info, uint64_t seed, float *out, uint32_t count)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t stream = hash_path(info->path ? info->path : "");
    for (uint32_t i = 0; i < count; i += 4) {
        uint32_t counter[4] = {i / 4, 0, 0, stream}, bits[4];
        float values[4] = {0, 0, 0, 0};
        pm_philox4x32(counter, key, bits);
        switch (info->init.kind) {
        case PM_INIT_ZERO:
            break;
        case PM_INIT_ONE:
            values[0] = values[1] = values[2] = values[3] = 1.0f;
            break;
        case PM_INIT_NORMAL:
            pm_normal4(bits, values);
            for (int j = 0; j < 4; j++) values[j] *= info->init.amount;
            break;
        case PM_INIT_UNIFORM:
            for (int j = 0; j < 4; j++) values[j] = (pm_uniform01(bits[j]) * 2.0f - 1.0f) * info->init.amount;
            break;
        }
        for (uint32_t j = 0; j < 4 && i + j < count; j++) out[i + j] = values[j];
    }
}

/* The arena of all parameters, on the host. */
typedef struct arena {
    const pm_plan *plan;
    float *values;
} arena;

static void fill_param(void *user, uint32_t i)
{
    const arena *a = user;
    const pm_graph *graph = a->plan->graph;
    const pm_tensor_info *info = &graph->tensors[graph->params[i]];
    pm_init_values(info, a->plan->options.seed, a->values + info->offset / 4, pm_shape_count(info->shape));
}

static void fill_root(const pm_plan *plan, uint32_t id, float *values)
{
    arena a = {plan, values};
    if (id == plan->graph->arena) pm_for_each(plan->graph->n_params, UINT32_MAX, fill_param, &a);
}

pm_status pm_plan_initialise(pm_plan *plan, pm_error *error)
{
    const pm_graph *graph = plan->graph;
    pm_status status = PM_OK;
    for (uint32_t id = 1; status == PM_OK && id < plan->n_tensors; id++) {
        const pm_tensor_info *info = &graph->tensors[id];
        if (!plan->placements[id].used || !plan->placements[id].persistent) continue;
        size_t bytes = pm_bytes_of(graph, (pm_tensor){id});
        if (info->data) {
            status = pm_plan_write(plan, (pm_tensor){id}, info->data, bytes, error);
            continue;
        }
        float *values = calloc(1, bytes);
        if (!values) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory (%zu bytes)", bytes);
        fill_root(plan, id, values);
        status = pm_plan_write(plan, (pm_tensor){id}, values, bytes, error);
        free(values);
    }
    return status;
}

/* ---- Life ---------------------------------------------------------------------------------------------- */

/* Of a submit. Where no watchdog looks, the fewer the better: the host is woken after each. */
static double aim_of(const pm_device *device)
{
    if (device->limits.submit) return (double)device->limits.submit / 1e3;
    return pm_on(&device->rules, PM_WHOLE_DISPATCHES) ? 0.5 : 0.1;
}

static pm_status begin(pm_device *device, pm_graph *graph, const pm_plan_options *options, pm_plan **out,
                       pm_error *error)
{
    *out = NULL;
    pm_status status = pm_graph_status(graph, error);
    if (status != PM_OK) return status;
    pm_plan *plan = *out = calloc(1, sizeof *plan);
    if (!plan) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    plan->device = device;
    plan->graph = graph;
    plan->traced = device->trace != NULL;
    if (options) plan->options = *options;
    if (plan->options.submit_seconds <= 0) plan->options.submit_seconds = aim_of(device);
    if (plan->options.precision == PM_FAST) pm_matrix_units_test(device, graph);
    status = pm_plan_lower(plan, error);
    if (status == PM_OK && pm_on(&device->rules, PM_WHOLE_DISPATCHES)) pm_plan_guess(plan);
    return status == PM_OK ? pm_plan_place(plan, error) : status;
}

/* Tiles of classes that the plan was the first to ask for are measured; true when there are any now. */
static bool tune_first_use(pm_device *device)
{
    uint32_t tuned = 0;
    pm_tune_options options = {
        .seconds = device->rules.tune_seconds, .say = device->say, .user = device->user};
    if (options.seconds <= 0 || device->tuning.measuring) return false;
    double start = pm_seconds();
    pm_status status = pm_device_tune(device, &options, &tuned, NULL);
    device->rules.tune_seconds -= pm_seconds() - start; /* of all plans together */
    return status == PM_OK && tuned > 0;
}

pm_status pm_plan_create(pm_device *device, pm_graph *graph, const pm_plan_options *options, pm_plan **out,
                         pm_error *error)
{
    pm_plan *plan;
    pm_status status = begin(device, graph, options, &plan, error);
    if (status == PM_OK && !device->compile_only && tune_first_use(device)) {
        pm_plan_destroy(plan);
        status = begin(device, graph, options, &plan, error);
    }
    if (status == PM_OK && !device->compile_only) status = pm_plan_allocate(plan, error);
    if (status == PM_OK) status = pm_plan_cut(plan, error);
    if (status == PM_OK && !device->compile_only) status = pm_plan_record(plan, error);
    if (status == PM_OK && !device->compile_only) status = pm_plan_initialise(plan, error);
    if (status != PM_OK) {
        pm_plan_destroy(plan);
        plan = NULL;
    }
    *out = plan;
    return status;
}

pm_status pm_plan_needs(pm_device *device, pm_graph *graph, const pm_plan_options *options,
                        pm_plan_stats *out, pm_error *error)
{
    pm_plan *plan;
    pm_status status = begin(device, graph, options, &plan, error);
    *out = plan ? plan->stats : (pm_plan_stats){0};
    pm_plan_destroy(plan);
    return status;
}

void pm_plan_destroy(pm_plan *plan)
{
    if (!plan) return;
    if (!plan->device->compile_only) (void)plan->device->vk.vkDeviceWaitIdle(plan->device->device);
    pm_plan_unrecord(plan);
    pm_bound_release(plan->device, &plan->bound);
    if (plan->at_once) plan->device->vk.vkDestroyCommandPool(plan->device->device, plan->at_once, NULL);
    for (uint32_t i = 0; i < plan->n_blocks; i++) pm_block_destroy(plan->device, &plan->blocks[i]);
    pm_block_destroy(plan->device, &plan->staging);
    free(plan->pieces);
    free(plan->placements);
    free(plan->dispatches);
    free(plan->parts);
    free(plan->costs);
    free(plan);
}

pm_plan_stats pm_plan_stats_of(const pm_plan *plan)
{
    return plan->stats;
}
