/* Whether matrix units multiply, and are worth it: before their first use on a device a product in all three
 * layouts is held against plain C, and on a GPU one is timed. Drivers have been seen to offer them and
 * compute something else, or to do it by ordinary instructions, slower than without. */
#include "ops/table.h"
#include "plan/plan.h"
#include "plan/verify.h"

#include <stdio.h>
#include <string.h>

static pm_tensor build_product(pm_graph *graph, const uint32_t *p)
{
    return pm_matmul(graph, pm_case_leaf(graph, "a", PM_SHAPE(p[0], p[2]), 1.0f),
                     pm_case_leaf(graph, "b", PM_SHAPE(p[2], p[1]), 1.0f), PM_AB, PM_NONE, PM_NONE);
}

static bool is_right(pm_device *device)
{
    static const pm_case test = {.name = "self-test", .build = build_product, .p = {140, 76, 52}};
    pm_verify_result result;
    return pm_verify_case(device, &pm_op_matmul, &test, PM_FAST, false, &result, NULL) == PM_OK && result.ok;
}

/* A CPU driver's are there for tests. */
static bool is_faster(pm_device *device)
{
    static const pm_tiled_shape shape = {PM_TILED_AB, 1, 1024, 1024, 512};
    double with, without;
    if (device->facts.type == PM_DEVICE_CPU) return true;
    return pm_time_shape(device, &shape, (pm_tile_size){0, 0}, PM_FAST, &with, NULL) == PM_OK &&
           pm_time_shape(device, &shape, (pm_tile_size){0, 0}, PM_F32, &without, NULL) == PM_OK &&
           with < without;
}

void pm_matrix_units_test(pm_device *device)
{
    if (device->matrix_tested || device->compile_only || !pm_on(&device->rules, PM_MATRIX_UNITS)) return;
    device->matrix_tested = true;
    const char *why = !is_right(device)    ? "failed their self-test"
                      : !is_faster(device) ? "are slower than products without them"
                                           : NULL;
    if (!why) return;
    char line[120];
    (void)snprintf(line, sizeof line, "matrix units %s and are not used", why);
    device->rules.on &= ~(1u << PM_MATRIX_UNITS);
    size_t used = strlen(device->choice);
    (void)snprintf(device->choice + used, sizeof device->choice - used, "; %s", line);
    if (device->say) device->say(device->user, line);
}
