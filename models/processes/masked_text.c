/* The masked process with a transformer as its denoiser; see masked_text.h. */
#include "processes/masked_text.h"

static pm_tensor features(const pm_text_denoiser *text, pm_graph *graph, pm_tensor tokens, pm_tensor time)
{
    pm_transformer_inputs inputs = {.time = time, .counter = text->counter};
    return pm_transformer(graph, text->config, tokens, inputs);
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
