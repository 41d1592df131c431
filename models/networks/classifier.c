/* The judge of generated pictures; see classifier.h. */
#include "networks/classifier.h"

#include "networks/layers.h"

#define DROPOUT_STREAM 0x1000u
#define EPS 1e-5f

/* conv 3x3 - group norm - SiLU, twice, then 2x2 mean pooling. */
static pm_tensor stage(pm_graph *graph, const char *name, pm_tensor x, uint32_t channels)
{
    uint32_t groups = channels % 8 == 0 ? 8 : 1;
    pm_scope_push(graph, name);
    x = pm_layer_conv(graph, "conv1", x, 3, channels, 1.0f, pm_same_padding(3));
    x = pm_layer_group_norm(graph, "norm1", x, groups, EPS, true);
    x = pm_layer_conv(graph, "conv2", x, 3, channels, 1.0f, pm_same_padding(3));
    x = pm_layer_group_norm(graph, "norm2", x, groups, EPS, true);
    pm_scope_pop(graph);
    return pm_avg_pool(graph, x, 2);
}

pm_tensor pm_classifier(pm_graph *graph, const pm_classifier_config *config, pm_tensor x, pm_tensor counter,
                        pm_tensor *features)
{
    *features = PM_NONE;
    if (config->height % 4 || config->width % 4) {
        pm_graph_fail(graph, PM_BAD_USAGE, "classifier: height and width must be multiples of 4");
        return PM_NONE;
    }
    x = stage(graph, "stage1", x, config->base);
    x = stage(graph, "stage2", x, 2 * config->base);
    pm_shape s = pm_shape_of(graph, x);
    x = pm_reshape(graph, x, PM_SHAPE(s.dim[0], s.dim[1] * s.dim[2] * s.dim[3]));
    x = pm_silu(graph, pm_layer_linear(graph, "features", x, config->features, 1.0f, PM_NONE));
    *features = x;
    if (config->dropout > 0.0f && counter.id)
        x = pm_dropout(graph, x, config->dropout, counter, DROPOUT_STREAM);
    return pm_layer_linear(graph, "logits", x, config->classes, 1.0f, PM_NONE);
}
