/* Whether matrix units multiply: before their first use on a device a product in all three layouts is held
 * against plain C. Drivers have been seen to offer them and compute something else. */
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

void pm_matrix_units_test(pm_device *device)
{
    static const pm_case test = {.name = "self-test", .build = build_product, .p = {140, 76, 52}};
    pm_verify_result result;
    if (device->matrix_tested || device->compile_only || !pm_on(&device->rules, PM_MATRIX_UNITS)) return;
    device->matrix_tested = true;
    pm_status status = pm_verify_case(device, &pm_op_matmul, &test, PM_FAST, false, &result, NULL);
    if (status == PM_OK && result.ok) return;
    device->rules.on &= ~(1u << PM_MATRIX_UNITS);
    size_t used = strlen(device->choice);
    (void)snprintf(device->choice + used, sizeof device->choice - used,
                   "; its matrix units failed their self-test and are not used");
}
