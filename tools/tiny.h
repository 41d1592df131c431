/* A data set and a recipe so small that 20 training steps take seconds on the slowest driver; everything that
 * a real model uses is in it. */
#ifndef PM_TOOLS_TINY_H
#define PM_TOOLS_TINY_H

#include "training/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { TINY_IMAGES = 50, TINY_SIDE = 12, TINY_CLASSES = 3 };

static const char tiny_recipe[] =
    "{\"name\": \"tiny\", \"kind\": \"image-diffusion\","
    " \"data\": {\"source\": \"memory\", \"mirror\": true},"
    " \"unet\": {\"base\": 8, \"multipliers\": [1, 2], \"blocks\": 1, \"attention\": [6], \"heads\": 2, "
    "\"groups\": 4,"
    "  \"dropout\": 0.1},"
    " \"process\": {\"schedule\": \"cosine\", \"timesteps\": 100, \"target\": \"v\"},"
    " \"training\": {\"batch\": 5, \"steps\": 40, \"learning_rate\": 0.002, \"warmup\": 4, \"decay\": "
    "\"cosine\","
    "  \"weight_decay\": 0.01, \"clip_norm\": 1.0, \"ema\": 0.99, \"ema_warmup\": true, \"label_dropout\": "
    "0.2, \"seed\": 11},"
    " \"sampling\": {\"sampler\": \"ddim\", \"steps\": 6, \"guidance\": 2.0}}";

/* Blurred bars and blobs, one kind a class, from a fixed generator. The caller frees pixels and labels. */
static inline pm_dataset tiny_dataset(void)
{
    pm_dataset data = {.count = TINY_IMAGES,
                       .height = TINY_SIDE,
                       .width = TINY_SIDE,
                       .channels = 1,
                       .classes = TINY_CLASSES};
    uint32_t state = 1;
    data.pixels = malloc(TINY_IMAGES * TINY_SIDE * TINY_SIDE);
    data.labels = malloc(TINY_IMAGES * sizeof *data.labels);
    for (uint32_t i = 0; i < TINY_IMAGES; i++) {
        data.labels[i] = i % TINY_CLASSES;
        for (uint32_t y = 0; y < TINY_SIDE; y++) {
            for (uint32_t x = 0; x < TINY_SIDE; x++) {
                state = state * 1664525u + 1013904223u;
                uint32_t shape = data.labels[i] == 0 ? x : data.labels[i] == 1 ? y : (x + y) / 2;
                data.pixels[(i * TINY_SIDE + y) * TINY_SIDE + x] =
                    (uint8_t)(shape * 18 + (state >> 27)); /* a ramp and a little noise */
            }
        }
    }
    return data;
}

static inline pm_status tiny_fitted_recipe(pm_recipe *recipe, pm_error *error)
{
    static const char *const names[] = {"across", "down", "slanted"};
    pm_status status = pm_recipe_parse(tiny_recipe, "tiny", recipe, error);
    if (status != PM_OK) return status;
    return pm_recipe_fit(recipe, TINY_SIDE, TINY_SIDE, 1, TINY_CLASSES, names, error);
}

#endif
