/* The losses of all kinds of models; see losses.h. */
#include "training/losses.h"

#include "base/status.h"
#include "processes/autoregressive.h"
#include "processes/masked_text.h"

#include <stdlib.h>

/* Streams of randomness inside a training step. Dropout has its own, from 0x1000 on. */
enum { STREAM_NOISE = 1, STREAM_TIMESTEP = 2, STREAM_LABEL_DROPOUT = 3, STREAM_WINDOW = 4 };

/* ---- Pictures ------------------------------------------------------------------------------------------ */

/* The Gaussian process: noise x0 to a random timestep, predict the target, mean squared error (2006.11239 eq.
 * 14). */
static pm_tensor gaussian_loss(pm_graph *graph, const pm_recipe *recipe, pm_tensor x0, pm_tensor label,
                               pm_tensor counter, pm_error *error)
{
    uint32_t batch = recipe->training.batch, timesteps = recipe->process.timesteps;
    float *corrupt = malloc(timesteps * 2 * sizeof *corrupt),
          *target = malloc(timesteps * 2 * sizeof *target);
    pm_gaussian *process = NULL;
    pm_tensor loss = PM_NONE;
    pm_status status = corrupt && target ? pm_gaussian_create(&recipe->process, &process, error)
                                         : pm_fail(error, PM_NO_MEMORY, "trainer: out of host memory");
    if (status == PM_OK) {
        pm_gaussian_corrupt_table(process, corrupt);
        pm_gaussian_target_table(process, target);
        pm_shape table = PM_SHAPE(timesteps, 2);
        pm_tensor noise = pm_normal(graph, counter, STREAM_NOISE, pm_shape_of(graph, x0));
        pm_tensor timestep = pm_random_index(graph, counter, STREAM_TIMESTEP, batch, timesteps);
        pm_tensor x = pm_corrupt(graph, x0, noise, timestep,
                                 pm_constant(graph, "process.corrupt", PM_DTYPE_F32, table, corrupt));
        pm_tensor wanted = pm_corrupt(graph, x0, noise, timestep,
                                      pm_constant(graph, "process.target", PM_DTYPE_F32, table, target));
        if (recipe->unet.classes && recipe->training.label_dropout > 0.0f) {
            label = pm_drop_labels(graph, label, recipe->training.label_dropout, recipe->unet.classes,
                                   counter, STREAM_LABEL_DROPOUT);
        }
        pm_tensor prediction = pm_unet(graph, &recipe->unet, x, timestep, label, counter);
        loss = pm_mse(graph, prediction, wanted, PM_NONE);
    } else {
        pm_graph_fail(graph, status, "%s", error ? error->message : "process");
    }
    pm_gaussian_destroy(process);
    free(corrupt);
    free(target);
    return loss;
}

pm_tensor pm_picture_loss(pm_graph *graph, const pm_recipe *recipe, const pm_dataset *data, pm_tensor counter,
                          pm_batch_source *source, pm_error *error)
{
    pm_tensor label, features;
    source->pixels = pm_state(graph, "data.pixels", PM_DTYPE_U8,
                              PM_SHAPE(data->count, data->height, data->width, data->channels));
    source->labels = pm_state(graph, "data.labels", PM_DTYPE_U32, PM_SHAPE(data->count));
    pm_tensor x0 = pm_batch_images(graph, source->pixels, source->labels, counter, recipe->training.batch,
                                   recipe->data.mirror, &label);
    if (recipe->kind == PM_KIND_IMAGE_DIFFUSION)
        return gaussian_loss(graph, recipe, x0, label, counter, error);
    pm_tensor logits = pm_classifier(graph, &recipe->classifier, x0, counter, &features);
    return pm_cross_entropy(graph, logits, label, PM_NONE);
}

/* ---- Text ---------------------------------------------------------------------------------------------- */

/* Windows are pieces of one long text, from anywhere, and always as long as the context: there is nothing to
 * pad, and no end but where the text itself has one. So every token of a window is scored, and the first one
 * is predicted as one amid a text. It also means that a masked network meets no other length while it
 * learns; shorter canvases are not what it was trained for. */
pm_tensor pm_text_loss(pm_graph *graph, const pm_recipe *recipe, uint32_t n_tokens, pm_tensor counter,
                       pm_batch_source *source)
{
    source->tokens = pm_state(graph, "data.tokens", PM_DTYPE_U32, PM_SHAPE(n_tokens));
    pm_tensor window = pm_batch_tokens(graph, source->tokens, counter, STREAM_WINDOW, recipe->training.batch,
                                       recipe->transformer.context);
    if (recipe->kind == PM_KIND_TEXT_AUTOREGRESSIVE)
        return pm_autoregressive_loss(graph, &recipe->transformer, window, counter);
    pm_text_denoiser text = {.config = &recipe->transformer, .counter = counter};
    pm_denoiser denoiser = pm_denoiser_of(&text);
    pm_masked_config masking = pm_recipe_masking(recipe);
    return pm_masked_loss(graph, &masking, &denoiser, window, PM_NONE, counter);
}
