/* The autoregressive process; see autoregressive.h. */
#include "processes/autoregressive.h"

#include <stdlib.h>

pm_tensor pm_autoregressive_inputs(pm_graph *graph, const pm_transformer_config *config, pm_tensor tokens)
{
    pm_shape shape = pm_shape_of(graph, tokens);
    if (pm_graph_status(graph, NULL) != PM_OK || shape.rank != 2) return PM_NONE;
    uint32_t *beginnings = malloc(shape.dim[0] * sizeof *beginnings);
    if (!beginnings) {
        pm_graph_fail(graph, PM_NO_MEMORY, "autoregressive: out of host memory");
        return PM_NONE;
    }
    for (uint32_t i = 0; i < shape.dim[0]; i++) beginnings[i] = config->vocabulary;
    pm_tensor first =
        pm_constant(graph, "text.beginning", PM_DTYPE_U32, PM_SHAPE(shape.dim[0], 1), beginnings);
    free(beginnings);
    if (shape.dim[1] == 1) return first;
    return pm_concat(graph, first, pm_slice(graph, tokens, 1, 0, shape.dim[1] - 1), 1);
}

pm_tensor pm_autoregressive_loss(pm_graph *graph, const pm_transformer_config *config, pm_tensor tokens,
                                 pm_tensor counter)
{
    pm_tensor inputs = pm_autoregressive_inputs(graph, config, tokens);
    pm_tensor features = pm_transformer(graph, config, inputs, (pm_transformer_inputs){.counter = counter});
    return pm_transformer_loss(graph, config, features, tokens, PM_NONE);
}
