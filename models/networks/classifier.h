/* A small convolutional classifier of images: what `pumice eval` judges samples with. */
#ifndef PM_NETWORKS_CLASSIFIER_H
#define PM_NETWORKS_CLASSIFIER_H

#include "pumice.h"

typedef struct pm_classifier_config {
    uint32_t height, width, channels; /* of the images; height and width divisible by 4 */
    uint32_t base;                    /* channels of the first convolution; the second has twice as many */
    uint32_t features; /* width of the layer before the logits: what the Frechet distance is taken on */
    uint32_t classes;
    float dropout;
} pm_classifier_config;

/* x [B,H,W,C] in [-1,1] -> logits [B,classes], and *features [B,features]. `counter` switches dropout on. */
pm_tensor pm_classifier(pm_graph *graph, const pm_classifier_config *config, pm_tensor x, pm_tensor counter,
                        pm_tensor *features);

#endif
