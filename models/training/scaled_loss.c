/* The scaled loss of precisions fast and rounded; see scaled_loss.h. */
#include "training/scaled_loss.h"

#include "base/status.h"

#include <math.h>

pm_tensor pm_scaled_backward(pm_graph *graph, pm_tensor loss, pm_loss_scale_state *out)
{
    *out = pm_loss_scale(graph);
    pm_tensor gradient = pm_backward(graph, pm_mul(graph, loss, out->scale));
    return pm_mul(graph, gradient, out->inverse);
}

void pm_scaled_loss_first(float values[PM_SCALED_LOSS_VALUES])
{
    values[0] = PM_LOSS_SCALE_FIRST;
    values[1] = values[2] = 0;
}

pm_status pm_scaled_loss_write(pm_plan *plan, const pm_loss_scale_state *state,
                               const float values[PM_SCALED_LOSS_VALUES], pm_error *error)
{
    int exponent;
    bool power = isfinite(values[0]) && frexpf(values[0], &exponent) == 0.5f;
    if (!power || values[0] < 1.0f || values[0] > 0x1p40f || !(values[1] >= 0 && values[1] < 0x1p24f) ||
        !(values[2] >= 0 && values[2] <= 0x1p24f))
        return pm_fail(error, PM_BAD_FILE, "tensor %s is not a scale of a loss", PM_SCALED_LOSS_TENSOR);
    float inverse = 1.0f / values[0];
    uint32_t counts[2] = {(uint32_t)values[1], (uint32_t)values[2]};
    pm_status status = pm_plan_write(plan, state->scale, values, sizeof *values, error);
    if (status == PM_OK) status = pm_plan_write(plan, state->inverse, &inverse, sizeof inverse, error);
    return status == PM_OK ? pm_plan_write(plan, state->counts, counts, sizeof counts, error) : status;
}

pm_status pm_scaled_loss_read(pm_plan *plan, const pm_loss_scale_state *state,
                              float values[PM_SCALED_LOSS_VALUES], pm_error *error)
{
    uint32_t counts[2] = {0, 0};
    pm_status status = pm_plan_read(plan, state->scale, values, sizeof *values, error);
    if (status == PM_OK) status = pm_plan_read(plan, state->counts, counts, sizeof counts, error);
    for (int i = 0; i < 2; i++) values[1 + i] = counts[i] < 1u << 24 ? (float)counts[i] : 0x1p24f;
    return status;
}
