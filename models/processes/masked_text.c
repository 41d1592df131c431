/* The masked process with a transformer as its denoiser; see masked_text.h. */
#include "processes/masked_text.h"

#include <stdlib.h>

/* tokens [B,L] and `more` masks behind each row. */
static pm_tensor continued(const pm_text_denoiser *text, pm_graph *graph, pm_tensor tokens, uint32_t more)
{
    uint32_t rows = pm_shape_of(graph, tokens).dim[0];
    uint32_t *masks = malloc((size_t)rows * more * sizeof *masks);
    if (!masks) {
        pm_graph_fail(graph, PM_NO_MEMORY, "masked text: out of host memory");
        return PM_NONE;
    }
    for (size_t i = 0; i < (size_t)rows * more; i++) masks[i] = text->config->vocabulary;
    pm_tensor behind = pm_constant(graph, "text.behind", PM_DTYPE_U32, PM_SHAPE(rows, more), masks);
    free(masks);
    return pm_concat(graph, tokens, behind, 1);
}

static pm_tensor features(const pm_text_denoiser *text, pm_graph *graph, pm_tensor tokens, pm_tensor time)
{
    pm_transformer_inputs inputs = {.time = time, .counter = text->counter};
    pm_shape shape = pm_shape_of(graph, tokens);
    if (shape.rank != 2 || shape.dim[1] >= text->pad_to)
        return pm_transformer(graph, text->config, tokens, inputs);
    tokens = continued(text, graph, tokens, text->pad_to - shape.dim[1]);
    return pm_slice(graph, pm_transformer(graph, text->config, tokens, inputs), 1, 0, shape.dim[1]);
}

static pm_tensor logits(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time)
{
    const pm_text_denoiser *text = user;
    return pm_transformer_logits(graph, text->config, features(text, graph, tokens, time));
}

static pm_tensor loss(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time, pm_tensor labels,
                      pm_tensor row_weight)
{
    const pm_text_denoiser *text = user;
    return pm_transformer_loss(graph, text->config, features(text, graph, tokens, time), labels, row_weight);
}

pm_denoiser pm_denoiser_of(pm_text_denoiser *text)
{
    return (pm_denoiser){
        .logits = logits, .loss = loss, .user = text, .vocabulary = text->config->vocabulary};
}
