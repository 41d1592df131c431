/* Networks without files; see bench_models.h. */
#include "bench_models.h"

#include "base/status.h"

#include <stdlib.h>

enum { PICTURES = 256, SIDE = 28, CLASSES = 10, TOKENS = 1 << 16, BYTES = 256 };

static const char unet_recipe[] =
    "{\"name\": \"U-Net\", \"kind\": \"image-diffusion\", \"data\": {\"source\": \"memory\"},"
    " \"unet\": {\"base\": 32, \"multipliers\": [1, 2, 2], \"blocks\": 2, \"attention\": [7], \"heads\": 1,"
    "  \"groups\": 8},"
    " \"process\": {\"schedule\": \"cosine\", \"timesteps\": 1000, \"target\": \"epsilon\"},"
    " \"training\": {\"batch\": 32, \"steps\": 100000, \"learning_rate\": 1e-4}}";

static const char transformer_recipe[] =
    "{\"name\": \"transformer\", \"kind\": \"text-masked\","
    " \"data\": {\"source\": \"memory\", \"tokenizer\": \"bytes\"},"
    " \"transformer\": {\"context\": 256, \"width\": 256, \"layers\": 6, \"heads\": 4, \"norm\": \"layer\","
    "  \"mlp\": \"gelu\", \"positions\": \"learned\", \"tied\": false},"
    " \"training\": {\"batch\": 16, \"steps\": 100000, \"learning_rate\": 1e-4, \"weight_decay\": 0.01}}";

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

pm_status bench_unet(bench_model *out, pm_error *error)
{
    static const char *const names[CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    uint32_t state = 1;
    *out = (bench_model){.pictures = {.count = PICTURES,
                                      .height = SIDE,
                                      .width = SIDE,
                                      .channels = 1,
                                      .classes = CLASSES,
                                      .pixels = malloc(PICTURES * SIDE * SIDE),
                                      .labels = malloc(PICTURES * sizeof(uint32_t))}};
    pm_dataset *pictures = &out->pictures;
    if (!pictures->pixels || !pictures->labels)
        return pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    for (uint32_t i = 0; i < PICTURES * SIDE * SIDE; i++) pictures->pixels[i] = (uint8_t)next(&state);
    for (uint32_t i = 0; i < PICTURES; i++) pictures->labels[i] = next(&state) % CLASSES;
    pm_status status = pm_recipe_parse(unet_recipe, "bench", &out->recipe, error);
    if (status == PM_OK) status = pm_recipe_fit(&out->recipe, SIDE, SIDE, 1, CLASSES, names, error);
    out->data.pictures = pictures;
    return status;
}

pm_status bench_transformer(bench_model *out, pm_error *error)
{
    uint32_t state = 1;
    *out = (bench_model){.tokens = malloc(TOKENS * sizeof *out->tokens)};
    if (!out->tokens) return pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    for (uint32_t i = 0; i < TOKENS; i++) out->tokens[i] = next(&state) % BYTES;
    out->data = (pm_training_data){.tokens = out->tokens, .n_tokens = TOKENS};
    pm_status status = pm_recipe_parse(transformer_recipe, "bench", &out->recipe, error);
    return status == PM_OK ? pm_recipe_fit_text(&out->recipe, BYTES, error) : status;
}

void bench_model_free(bench_model *model)
{
    free(model->pictures.pixels);
    free(model->pictures.labels);
    free(model->tokens);
}

pm_transformer_config bench_llama(void)
{
    return (pm_transformer_config){
        .vocabulary = 512,
        .context = 1024,
        .width = 256,
        .layers = 6,
        .heads = 4,
        .hidden = 1024,
        .mask = PM_MASK_CAUSAL,
        .positions = PM_POSITIONS_ROPE,
        .theta = 10000.0f,
        .norm = PM_RMS_NORM,
        .mlp = PM_MLP_SWIGLU,
    };
}

pm_tensor bench_build_unet(pm_graph *graph, const pm_unet_config *config, uint32_t rows)
{
    pm_tensor x =
        pm_state(graph, "x", PM_DTYPE_F32, PM_SHAPE(rows, config->height, config->width, config->channels));
    pm_tensor t = pm_state(graph, "t", PM_DTYPE_U32, PM_SHAPE(rows));
    pm_tensor label = config->classes ? pm_state(graph, "label", PM_DTYPE_U32, PM_SHAPE(rows)) : PM_NONE;
    return pm_unet(graph, config, x, t, label, PM_NONE);
}

/* ---- Parameters ---------------------------------------------------------------------------------------- */

static uint32_t count_and_destroy(pm_graph *graph)
{
    uint32_t count = 0;
    bool right = graph && pm_graph_status(graph, NULL) == PM_OK;
    for (uint32_t i = 0; right && i < pm_param_count(graph); i++)
        count += pm_count_of(graph, pm_param_at(graph, i));
    pm_graph_destroy(graph);
    return count;
}

uint32_t bench_unet_parameters(const pm_unet_config *config)
{
    pm_graph *graph = pm_graph_create();
    if (!graph) return 0;
    (void)bench_build_unet(graph, config, 1);
    return count_and_destroy(graph);
}

uint32_t bench_transformer_parameters(const pm_transformer_config *config)
{
    pm_graph *graph = pm_graph_create();
    if (!graph) return 0;
    pm_tensor tokens = pm_state(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(1, 1));
    pm_tensor features = pm_transformer(graph, config, tokens, (pm_transformer_inputs){0});
    (void)pm_transformer_logits(graph, config, features);
    return count_and_destroy(graph);
}
