/* Layers with their parameters; see layers.h. */
#include "networks/layers.h"

#include <math.h>

pm_init pm_init_fan_avg(uint32_t fan_in, uint32_t fan_out, float scale)
{
    if (scale == 0.0f) return (pm_init){PM_INIT_ZERO, 0.0f};
    double mean = 0.5 * ((double)fan_in + (double)fan_out);
    return (pm_init){PM_INIT_UNIFORM, (float)sqrt(3.0 * (double)scale / mean)};
}

static uint32_t last_extent(const pm_graph *graph, pm_tensor x)
{
    pm_shape shape = pm_shape_of(graph, x);
    return shape.rank ? shape.dim[shape.rank - 1] : 0;
}

pm_tensor pm_layer_linear(pm_graph *graph, const char *name, pm_tensor x, uint32_t out, float scale,
                          pm_tensor residual)
{
    uint32_t in = last_extent(graph, x);
    pm_scope_push(graph, name);
    pm_tensor weight = pm_param(graph, "weight", PM_SHAPE(in, out), pm_init_fan_avg(in, out, scale));
    pm_tensor bias = pm_param(graph, "bias", PM_SHAPE(out), (pm_init){PM_INIT_ZERO, 0.0f});
    pm_tensor y = pm_linear(graph, x, weight, bias, residual);
    pm_scope_pop(graph);
    return y;
}

pm_tensor pm_layer_conv(pm_graph *graph, const char *name, pm_tensor x, uint32_t kernel, uint32_t out,
                        float scale, pm_conv2d_args args)
{
    uint32_t in = last_extent(graph, x), area = kernel * kernel;
    pm_scope_push(graph, name);
    pm_tensor weight = pm_param(graph, "weight", PM_SHAPE(kernel, kernel, in, out),
                                pm_init_fan_avg(area * in, area * out, scale));
    args.bias = pm_param(graph, "bias", PM_SHAPE(out), (pm_init){PM_INIT_ZERO, 0.0f});
    pm_tensor y = pm_conv2d(graph, x, weight, args);
    pm_scope_pop(graph);
    return y;
}

pm_conv2d_args pm_same_padding(uint32_t kernel)
{
    uint32_t pad = kernel / 2;
    return (pm_conv2d_args){
        .stride = 1, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
}

pm_tensor pm_layer_group_norm(pm_graph *graph, const char *name, pm_tensor x, uint32_t groups, float eps,
                              bool silu)
{
    uint32_t channels = last_extent(graph, x);
    pm_scope_push(graph, name);
    pm_norm_args args = {
        .gamma = pm_param(graph, "weight", PM_SHAPE(channels), (pm_init){PM_INIT_ONE, 0.0f}),
        .beta = pm_param(graph, "bias", PM_SHAPE(channels), (pm_init){PM_INIT_ZERO, 0.0f}),
        .eps = eps,
        .silu = silu,
    };
    pm_tensor y = pm_group_norm(graph, x, groups, args);
    pm_scope_pop(graph);
    return y;
}
