/* Text from a model file: options, results, and the choice of the kind. */
#include "sampling/generate.h"

#include "base/checked.h"
#include "base/status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 256, MOST_BATCH = 64 };

pm_text_options pm_text_defaults(void)
{
    return (pm_text_options){
        .count = 1,
        .block = UINT32_MAX,
        .guidance = 1.0f,
        .position_temperature = NAN,
        .threshold = NAN,
        .temperature = NAN,
        .top_p = NAN,
        .min_p = NAN,
        .repetition = NAN,
        .top_k = UINT32_MAX,
    };
}

const char *const *pm_text_sampler_names(void)
{
    return pm_masked_sampler_names;
}

static float given_or(float option, float recipe)
{
    return isnan(option) ? recipe : option;
}

static void fill_options(pm_generation *g)
{
    const pm_recipe *r = &g->model->recipe;
    pm_text_options *o = &g->options;
    bool masked = r->kind == PM_KIND_TEXT_MASKED;
    if (o->count == 0) o->count = 1;
    if (o->batch == 0) o->batch = o->count < MOST_BATCH ? o->count : MOST_BATCH;
    if (!o->sampler) o->sampler = r->generation.sampler;
    if (o->steps == 0) o->steps = r->generation.steps;
    if (o->block == UINT32_MAX) o->block = r->generation.block;
    if (!o->mask_text) o->mask_text = "_";
    if (o->length == 0 && !masked) o->length = MOST_TOKENS;
    o->position_temperature = given_or(o->position_temperature, r->generation.position_temperature);
    o->threshold = given_or(o->threshold, r->generation.threshold);
    g->draw = (pm_draw_args){
        .temperature = given_or(o->temperature, r->generation.temperature),
        .top_k = o->top_k == UINT32_MAX ? r->generation.top_k : o->top_k,
        .top_p = given_or(o->top_p, r->generation.top_p),
        .min_p = given_or(o->min_p, r->generation.min_p),
        .repetition = given_or(o->repetition, masked ? 1.0f : r->generation.repetition),
    };
}

static pm_status allocate(pm_texts *out, uint32_t count, pm_error *error)
{
    out->texts = calloc(count, sizeof *out->texts);
    out->sizes = calloc(count, sizeof *out->sizes);
    if (!out->texts || !out->sizes) return pm_fail(error, PM_NO_MEMORY, "text: out of host memory");
    for (uint32_t i = 0; i < count; i++) {
        out->texts[i] = calloc(1, 1);
        if (!out->texts[i]) return pm_fail(error, PM_NO_MEMORY, "text: out of host memory");
        out->count++;
    }
    return PM_OK;
}

pm_status pm_generation_append(pm_generation *g, uint32_t i, const void *bytes, size_t count, pm_error *error)
{
    size_t size = g->out->sizes[i];
    char *text = realloc(g->out->texts[i], size + count + 1);
    if (!text) return pm_fail(error, PM_NO_MEMORY, "text: out of host memory");
    memcpy(text + size, bytes, count);
    text[size + count] = '\0';
    g->out->texts[i] = text;
    g->out->sizes[i] = size + count;
    return PM_OK;
}

pm_status pm_generation_load(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error)
{
    const pm_generation *g = user;
    return pm_model_load_into(g->model, plan, graph, error);
}

pm_status pm_model_generate(pm_device *device, const pm_model *model, const pm_text_options *options,
                            pm_texts *out, pm_error *error)
{
    pm_generation g = {.device = device, .model = model, .options = *options, .out = out};
    *out = (pm_texts){0};
    if (!pm_kind_is_text(model->recipe.kind)) {
        return pm_fail(error, PM_BAD_USAGE, "%s is a model of kind %s, which draws no text",
                       model->recipe.name, pm_model_kind_name(model->recipe.kind));
    }
    fill_options(&g);
    pm_status status = allocate(out, g.options.count, error);
    if (status != PM_OK) return status;
    return model->recipe.kind == PM_KIND_TEXT_MASKED ? pm_generate_masked(&g, error)
                                                     : pm_generate_autoregressive(&g, error);
}

void pm_texts_free(pm_texts *texts)
{
    for (uint32_t i = 0; texts->texts && i < texts->count; i++) free(texts->texts[i]);
    free(texts->texts);
    free(texts->sizes);
    *texts = (pm_texts){0};
}
