/* Settings that would fit; see advice.h. */
#include "plan/advice.h"

#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

typedef struct advice {
    pm_device *device;
    const pm_plan_options *options;
    pm_rebuild rebuild;
    void *user;
    uint64_t limit; /* bytes that a plan may need */
    char text[300];
    size_t used;
} advice;

/* Bytes that the plan would need with a setting at `value`; 0: there is no such plan. */
static uint64_t needs(const advice *a, uint32_t index, uint32_t value)
{
    pm_plan_stats stats = {0};
    pm_graph *graph = a->rebuild(a->user, index, value);
    pm_status status = graph ? pm_plan_needs(a->device, graph, a->options, &stats, NULL) : PM_FAILED;
    pm_graph_destroy(graph);
    return status == PM_OK ? stats.persistent_bytes + stats.activation_bytes : 0;
}

static void add(advice *a, const char *lead, const pm_alternative *setting, uint32_t value, const char *verb,
                uint64_t bytes)
{
    int written = snprintf(a->text + a->used, sizeof a->text - a->used, "%s%s=%u %s (%.1f MiB)", lead,
                           setting->name, value, verb, (double)bytes / 1048576.0);
    if (written > 0 && a->used + (size_t)written < sizeof a->text) a->used += (size_t)written;
    a->text[a->used] = '\0';
}

/* Halves one setting until it fits; 0: it never does. */
static uint32_t find(const advice *a, uint32_t index, const pm_alternative *setting, uint64_t *bytes)
{
    for (uint32_t value = setting->value / 2; value >= setting->least && value > 0; value /= 2) {
        *bytes = needs(a, index, value);
        if (*bytes > 0 && *bytes <= a->limit) return value;
    }
    return 0;
}

pm_status pm_plan_advise(pm_status status, pm_device *device, const pm_plan_options *options,
                         const pm_alternative *alternatives, uint32_t count, pm_rebuild rebuild, void *user,
                         pm_error *error)
{
    char *tail = error && status == PM_NO_MEMORY ? strstr(error->message, PM_PLAN_TOO_LARGE) : NULL;
    if (!tail) return status;
    advice a = {device, options, rebuild, user, pm_device_memory_free(device), ": ", 2};
    uint64_t now = needs(&a, 0, alternatives[0].value), bytes = 0;
    if (now > 0 && now <= a.limit) a.limit = now - 1; /* the driver refused what should have fitted */
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = find(&a, i, &alternatives[i], &bytes);
        if (value == 0) continue;
        add(&a, found ? ", " : "", &alternatives[i], value, found ? "too" : "would fit", bytes);
        found++;
    }
    if (!found) {
        add(&a, "even ", &alternatives[0], alternatives[0].least, "would not fit",
            needs(&a, 0, alternatives[0].least));
    }
    (void)snprintf(tail, sizeof error->message - (size_t)(tail - error->message), "%s", a.text);
    return status;
}

pm_status pm_plan_create_batch(pm_device *device, pm_graph *graph, const pm_plan_options *options,
                               uint32_t batch, pm_rebuild rebuild, void *user, pm_plan **out, pm_error *error)
{
    pm_alternative setting = {"batch", batch, 1};
    pm_status status = pm_plan_create(device, graph, options, out, error);
    return pm_plan_advise(status, device, options, &setting, 1, rebuild, user, error);
}
