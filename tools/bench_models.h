/* Networks and data to be timed that need no file: the same on every machine, and of the sizes that other
 * implementations are measured at. */
#ifndef PM_TOOLS_BENCH_MODELS_H
#define PM_TOOLS_BENCH_MODELS_H

#include "training/trainer.h"

/* A recipe, and data made up for it. */
typedef struct bench_model {
    pm_recipe recipe;
    pm_dataset pictures;
    pm_training_data data;
    uint32_t *tokens;
} bench_model;

/* DDPM's U-Net on 28x28x1: width 32 x (1,2,2), two blocks a level, attention at 7, ten classes, batch 32. */
pm_status bench_unet(bench_model *out, pm_error *error);
/* A bidirectional transformer on bytes: width 256, 6 layers, 4 heads, learned positions, GELU, an untied
 * head; 16 windows of 256. */
pm_status bench_transformer(bench_model *out, pm_error *error);
/* For both, also after a failure. */
void bench_model_free(bench_model *model);

/* A causal one like Llama: width 256, 6 layers, 4 heads, SwiGLU of 1024, RMSNorm, rotary positions, an untied
 * head, 512 tokens, a context of 1024. */
pm_transformer_config bench_llama(void);

/* A pass of a U-Net over so many pictures, timesteps and labels that are states. */
pm_tensor bench_build_unet(pm_graph *graph, const pm_unet_config *config, uint32_t rows);

/* Numbers that are trained; 0 when something is wrong with the configuration. */
uint32_t bench_unet_parameters(const pm_unet_config *config);
uint32_t bench_transformer_parameters(const pm_transformer_config *config);

#endif
