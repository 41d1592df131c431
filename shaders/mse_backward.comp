// The squared error's gradient: 2 / count * weight * (prediction - target), times the gradient of the loss.
// Reference: reference_mse_backward in runtime/ops/loss.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const uint WEIGHT = 0;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint size;
    float two_over_count;
} p;

PM_INPUT4(0, prediction)
PM_INPUT4(1, target)
PM_INPUT4(2, weight_of_element)
PM_INPUT(3, weight_of_sample)
PM_INPUT(4, grad_loss)
PM_OUTPUT4(5, grad);

#include "each_quad.glsl"
#include "loss_weight.glsl"

void main()
{
    float scale = p.two_over_count * grad_loss(0);
    PM_EACH_QUAD(i, p.count)
    {
        vec4 d = pm_flush(prediction(i) - target(i));
        vec4 v = pm_flush(weighted(scale * d, i, p.base * PM_QUADS_PER_GROUP + i));
        grad[i] = PM_KEEP(v, i, p.count);
    }
}
