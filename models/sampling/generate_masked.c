/* Text by the masked process, from a model file: prompts, blanks, batches. */
#include "sampling/generate.h"
#include "sampling/infill.h"
#include "sampling/masked_sampler.h"

#include "base/clock.h"
#include "base/status.h"
#include "processes/masked_text.h"

#include <stdlib.h>
#include <string.h>

typedef struct filling {
    pm_generation generation; /* first: pm_generation_load reads it */
    uint32_t length;
    uint32_t *canvas; /* [batch][length] */
    uint32_t done, count;
    pm_status status; /* of a callback */
    pm_error error;
} filling;

/* ---- Canvases as text ---------------------------------------------------------------------------------- */

/* Replaces text i by what a canvas says, with `masked` where nothing is known. */
static pm_status write_text(pm_generation *g, uint32_t i, const uint32_t *canvas, uint32_t length,
                            const char *masked, pm_error *error)
{
    uint32_t mask = g->model->recipe.transformer.vocabulary;
    pm_status status = PM_OK;
    g->out->sizes[i] = 0;
    g->out->texts[i][0] = '\0';
    for (uint32_t k = 0; status == PM_OK && k < length; k++) {
        size_t count = strlen(masked);
        const void *bytes = masked;
        if (canvas[k] < mask) bytes = pm_tokenizer_token(g->model->tokenizer, canvas[k], &count);
        status = pm_generation_append(g, i, bytes, count, error);
    }
    return status;
}

static bool on_progress(void *user, uint32_t done, uint32_t total, const uint32_t *canvas)
{
    filling *f = user;
    pm_generation *g = &f->generation;
    bool go_on = true;
    for (uint32_t i = 0; i < f->count && go_on && g->options.canvas; i++) {
        f->status = write_text(g, f->done + i, canvas + (size_t)i * f->length, f->length,
                               g->options.mask_text, &f->error);
        if (f->status != PM_OK) return false;
        go_on = g->options.canvas(g->options.user, done, total, f->done + i, g->out->texts[f->done + i]);
    }
    if (!go_on) g->out->stopped = true;
    return go_on;
}

/* ---- Batches ------------------------------------------------------------------------------------------- */

static pm_masked_sampling sampling_of(filling *f)
{
    const pm_generation *g = &f->generation;
    pm_masked_sampling s = pm_masked_sampling_defaults();
    s.sampler = g->options.sampler;
    /* The same bits with fewer passes, which a network without a time allows. */
    if (strcmp(s.sampler, "ancestral") == 0 && !g->model->recipe.transformer.time &&
        pm_device_uses(g->device, PM_SKIPPED_STEPS))
        s.sampler = "cached";
    s.steps = g->options.steps;
    s.block = g->options.block;
    s.temperature = g->draw.temperature;
    s.top_k = g->draw.top_k;
    s.top_p = g->draw.top_p;
    s.min_p = g->draw.min_p;
    s.position_temperature = g->options.position_temperature;
    s.threshold = g->options.threshold;
    s.guidance = g->options.guidance;
    s.final_argmax = g->options.final_argmax;
    s.time_conditioned = g->model->recipe.transformer.time;
    /* A network that is told the time has to be told the one that it learned a share of masks by. Objective
     * lambda tells the rate itself, which is the linear schedule's time. */
    if (g->model->recipe.masked.objective == PM_MASKED_T)
        s.masking = pm_recipe_masking(&g->model->recipe).masking;
    s.seed = g->options.seed;
    s.precision = g->options.precision;
    s.load = pm_generation_load;
    s.progress = on_progress;
    s.progress_every = g->options.canvas ? 1 : 0; /* a look waits for the device */
    s.user = f;
    return s;
}

static uint32_t count_masks(const filling *f, uint32_t rows)
{
    uint32_t masks = 0, mask = f->generation.model->recipe.transformer.vocabulary;
    for (size_t i = 0; i < (size_t)rows * f->length; i++) masks += f->canvas[i] == mask;
    return masks;
}

static pm_status fill_batch(filling *f, pm_masked_sampler *sampler, const uint32_t *given, pm_error *error)
{
    pm_generation *g = &f->generation;
    for (uint32_t i = 0; i < g->options.batch; i++) /* the last batch may have rows that nobody asked for */
        memcpy(f->canvas + (size_t)i * f->length, given, f->length * sizeof *given);
    uint32_t masks = count_masks(f, f->count);
    double start = pm_seconds();
    pm_status status = pm_masked_sampler_run(sampler, f->canvas, g->options.first + f->done, error);
    g->out->seconds += pm_seconds() - start;
    g->out->passes += pm_masked_sampler_passes(sampler);
    if (status == PM_OK && f->status != PM_OK) status = pm_fail(error, f->status, "%s", f->error.message);
    if (status == PM_OK) g->out->tokens += masks - count_masks(f, f->count);
    for (uint32_t i = 0; status == PM_OK && i < f->count; i++) {
        status = write_text(g, f->done + i, f->canvas + (size_t)i * f->length, f->length, "", error);
    }
    return status;
}

static pm_status fill_all(filling *f, const uint32_t *given, pm_error *error)
{
    pm_generation *g = &f->generation;
    const pm_transformer_config *config = &g->model->recipe.transformer;
    pm_text_denoiser text = {.config = config, .pad_to = config->context};
    pm_denoiser denoiser = pm_denoiser_of(&text);
    pm_masked_sampling options = sampling_of(f);
    pm_masked_sampler *sampler = NULL;
    pm_status status = pm_masked_sampler_create(g->device, &denoiser, &options, g->options.batch, f->length,
                                                &sampler, error);
    for (; status == PM_OK && f->done < g->options.count && !g->out->stopped; f->done += f->count) {
        f->count = g->options.count - f->done;
        if (f->count > g->options.batch) f->count = g->options.batch;
        status = fill_batch(f, sampler, given, error);
    }
    pm_masked_sampler_destroy(sampler);
    return status;
}

/* ---- What is given ------------------------------------------------------------------------------------- */

static pm_status read_given(pm_generation *g, pm_infill *infill, pm_error *error)
{
    const pm_text_options *o = &g->options;
    uint32_t context = g->model->recipe.transformer.context;
    const pm_tokenizer *tokenizer = g->model->tokenizer;
    if (o->infill && (o->prompt || o->suffix || o->length))
        return pm_fail(error, PM_BAD_USAGE,
                       "a text with blanks says all: leave prompt, suffix and length out");
    pm_status status = o->infill
                           ? pm_infill_parse(tokenizer, o->infill, infill, error)
                           : pm_infill_from_ends(tokenizer, o->prompt, o->length, o->suffix, infill, error);
    if (status != PM_OK) return status;
    uint64_t length = pm_infill_length(infill);
    if (!o->infill && o->length == 0 && length < context) { /* what the context has room for */
        infill->parts[0].least = infill->parts[0].most = context - (uint32_t)length;
        length = context;
    }
    if (length > context || (!o->infill && infill->parts[0].most == 0)) {
        return pm_fail(error, PM_BAD_USAGE,
                       "%s holds %u tokens at once, and this would be %u with the blanks",
                       g->model->recipe.name, context, (uint32_t)(length < UINT32_MAX ? length : UINT32_MAX));
    }
    return pm_infill_choose_lengths(g, infill, error);
}

pm_status pm_generate_masked(pm_generation *g, pm_error *error)
{
    filling f = {.generation = *g};
    pm_infill infill = {0};
    uint32_t *given = NULL, mask = g->model->recipe.transformer.vocabulary;
    if (g->options.n_stop > 0)
        return pm_fail(error, PM_BAD_USAGE, "%s fills all of a text at once: it takes no stop",
                       g->model->recipe.name);
    pm_status status = read_given(g, &infill, error);
    if (status == PM_OK) {
        f.length = (uint32_t)pm_infill_length(&infill);
        given = calloc(f.length, sizeof *given);
        f.canvas = calloc((size_t)g->options.batch * f.length, sizeof *f.canvas);
        if (!given || !f.canvas) status = pm_fail(error, PM_NO_MEMORY, "text: out of host memory");
    }
    if (status == PM_OK) (void)pm_infill_canvas(&infill, mask, given);
    if (status == PM_OK) status = fill_all(&f, given, error);
    pm_infill_free(&infill);
    free(given);
    free(f.canvas);
    return status;
}
