/* Layers that several networks share: a few operators together with their parameters. Names of parameters are
 * those of the diffusers library (weight, bias), so that its checkpoints can be read. */
#ifndef PM_NETWORKS_LAYERS_H
#define PM_NETWORKS_LAYERS_H

#include "pumice.h"

/* Uniform initialisation with variance `scale` / mean(fan_in, fan_out) (1502.01852, the form that DDPM uses);
 * scale 0 gives zeros. */
pm_init pm_init_fan_avg(uint32_t fan_in, uint32_t fan_out, float scale);

/* x [..., in] -> [..., out] + residual (or PM_NONE); parameters name.weight [in,out] and name.bias [out]. */
pm_tensor pm_layer_linear(pm_graph *graph, const char *name, pm_tensor x, uint32_t out, float scale,
                          pm_tensor residual);

/* Convolution with kernel 1 or 3 and a bias; parameters name.weight [k,k,in,out] and name.bias [out].
 * args.bias is filled in. "Same" padding is for the caller to put into args. */
pm_tensor pm_layer_conv(pm_graph *graph, const char *name, pm_tensor x, uint32_t kernel, uint32_t out,
                        float scale, pm_conv2d_args args);

/* Arguments of a convolution with stride 1 that keeps height and width. */
pm_conv2d_args pm_same_padding(uint32_t kernel);

/* Group normalisation with name.weight and name.bias, then SiLU if asked for. */
pm_tensor pm_layer_group_norm(pm_graph *graph, const char *name, pm_tensor x, uint32_t groups, float eps,
                              bool silu);

#endif
