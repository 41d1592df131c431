/* Masked sampling on the device: one step as a graph, and its replay. */
#include "base/checked.h"
#include "base/status.h"
#include "plan/advice.h"
#include "sampling/masked_methods.h"
#include "sampling/masked_schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pm_masked_sampler {
    pm_masked_sampling options; /* with every default filled in */
    const pm_masked_method *method;
    pm_denoiser denoiser;
    uint32_t batch, length;
    bool doubled; /* conditional and unconditional rows in one batch */
    pm_masked_schedule *schedule;
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor canvas, counter, window, amount, given, time, order, sharpen; /* states; PM_NONE if not used */
    uint32_t *host;                                                         /* [B][L] */
    uint32_t step; /* where the device's counter stands */
    uint32_t passes;
};

pm_masked_sampling pm_masked_sampling_defaults(void)
{
    return (pm_masked_sampling){
        .sampler = "ancestral", .temperature = 1.0f, .guidance = 1.0f, .masking = {.power = 2.0f}};
}

uint32_t pm_masked_sampler_passes(const pm_masked_sampler *sampler)
{
    return sampler->passes;
}

/* ---- Options ------------------------------------------------------------------------------------------- */

/* What is wrong with the options, or NULL; cuts and temperatures are for the operators to judge. */
static const char *find_fault(const pm_masked_sampling *o, const pm_masked_method *method)
{
    bool by_rate = method->mode == PM_REVEAL_RATE;
    bool ranked = !by_rate && !method->hitting && !method->permuted && !method->left_to_right &&
                  method->confidence != PM_CONFIDENCE_RANDOM;
    if (o->position_temperature != 0.0f && !ranked) {
        return "a position temperature is for samplers that go by confidence";
    }
    if (o->tokens_per_step && (by_rate || method->hitting)) {
        return "this sampler does not count tokens: give steps";
    }
    if (o->tokens_per_step && o->steps) return "steps and tokens_per_step say the same thing: give one";
    if (o->time_conditioned && (method->cached || o->block)) {
        return "a network that is told the time can be neither cached nor used block by block";
    }
    if ((uint32_t)o->masking.schedule > PM_MASKING_POLYNOMIAL) {
        return "the schedule must be linear, cosine or polynomial";
    }
    if (o->masking.schedule == PM_MASKING_POLYNOMIAL &&
        !(o->masking.power >= 1.0f / 64 && o->masking.power <= 64.0f)) {
        return "the power of the schedule must be from 1/64 to 64";
    }
    if (!isfinite(o->guidance)) return "guidance must be a finite number";
    return NULL;
}

static pm_status check_options(pm_masked_sampler *s, pm_error *error)
{
    pm_masked_sampling *o = &s->options;
    if (!o->sampler) o->sampler = "ancestral";
    s->method = pm_masked_method_named(o->sampler);
    if (!s->method) {
        return pm_fail(
            error, PM_BAD_USAGE,
            "there is no masked sampler '%s'; there are " PM_MASKED_METHODS(PM_METHOD_LISTED) "and no others",
            o->sampler);
    }
    o->sampler = s->method->name; /* the caller's string may go */
    const char *fault = find_fault(o, s->method);
    size_t cells;
    if (fault) return pm_fail(error, PM_BAD_USAGE, "masked sampler %s: %s", o->sampler, fault);
    if (s->batch == 0 || s->length == 0 || !pm_mul_size(s->batch, s->length, &cells) || cells >= 1u << 30) {
        return pm_fail(error, PM_BAD_USAGE, "masked sampler: a batch of %u canvases of %u tokens", s->batch,
                       s->length);
    }
    return PM_OK;
}

/* ---- One step as a graph ------------------------------------------------------------------------------- */

/* A row of a table [S,n] that is the step's: [n]. */
static pm_tensor row_at_step(pm_masked_sampler *s, pm_tensor table, uint32_t n)
{
    pm_tensor place = pm_find(s->graph, "sample.places");
    pm_tensor row = pm_at_step(s->graph, place, s->counter, 1);
    return pm_reshape(s->graph, pm_embedding(s->graph, table, row), PM_SHAPE(n));
}

/* The canvas with what was given masked, too: what the unconditional pass sees. */
static pm_tensor without_prompt(pm_masked_sampler *s)
{
    float *ones = malloc(s->batch * sizeof *ones);
    for (uint32_t b = 0; ones && b < s->batch; b++) ones[b] = 1.0f;
    if (!ones) {
        pm_graph_fail(s->graph, PM_NO_MEMORY, "masked sampler: out of host memory");
        return PM_NONE;
    }
    pm_tensor always = pm_constant(s->graph, "sample.always", PM_DTYPE_F32, PM_SHAPE(s->batch), ones);
    free(ones);
    /* With probability 1, but where the canvas had a mask: there tokens are the sampler's own. */
    return pm_mask_tokens(s->graph, s->canvas, always, s->denoiser.vocabulary, s->given, s->counter, 0, NULL);
}

/* f32 [B L, V] */
static pm_tensor build_logits(pm_masked_sampler *s)
{
    pm_graph *graph = s->graph;
    const pm_masked_sampling *o = &s->options;
    uint32_t batch = s->batch, vocabulary = s->denoiser.vocabulary;
    pm_tensor tokens = s->canvas, time = PM_NONE;
    if (o->time_conditioned) time = row_at_step(s, s->time, batch);
    if (o->guidance == 0.0f) tokens = without_prompt(s);
    if (s->doubled) {
        tokens = pm_concat(graph, s->canvas, without_prompt(s), 0);
        if (time.id) time = pm_concat(graph, time, time, 0);
    }
    pm_tensor logits = s->denoiser.logits(s->denoiser.user, graph, tokens, time);
    if (s->doubled) {
        pm_tensor scale = pm_constant(graph, "sample.guidance", PM_DTYPE_F32, PM_SHAPE(1), &o->guidance);
        logits = pm_guide(graph, logits, scale);
    }
    logits = pm_reshape(graph, logits, PM_SHAPE(batch * s->length, vocabulary));
    if (o->final_argmax) {
        pm_tensor factor = pm_reshape(graph, row_at_step(s, s->sharpen, 1), PM_SHAPE(1, 1));
        logits = pm_mul(graph, logits, factor);
    }
    return logits;
}

static void build_states(pm_masked_sampler *s)
{
    pm_graph *graph = s->graph;
    bool by_rate = s->method->mode == PM_REVEAL_RATE;
    pm_shape cells = PM_SHAPE(s->batch, s->length), table = PM_SHAPE(s->schedule->capacity, s->batch);
    s->counter = pm_counter(graph);
    s->canvas = pm_state(graph, "sample.canvas", PM_DTYPE_U32, cells);
    s->window = pm_state(graph, "sample.window", PM_DTYPE_U32, PM_SHAPE(s->schedule->capacity, 2));
    s->amount = pm_state(graph, "sample.amount", by_rate ? PM_DTYPE_F32 : PM_DTYPE_U32, table);
    if (s->options.guidance != 1.0f) s->given = pm_state(graph, "sample.free", PM_DTYPE_U32, cells);
    if (s->options.time_conditioned) s->time = pm_state(graph, "sample.time", PM_DTYPE_F32, table);
    if (s->options.final_argmax) {
        s->sharpen = pm_state(graph, "sample.sharpen", PM_DTYPE_F32, PM_SHAPE(s->schedule->capacity, 1));
    }
    if (s->method->permuted || s->method->left_to_right) {
        s->order = pm_state(graph, "sample.order", PM_DTYPE_F32, cells);
    }
    if (s->time.id || s->sharpen.id) {
        uint32_t *places = malloc(s->schedule->capacity * sizeof *places);
        for (uint32_t i = 0; places && i < s->schedule->capacity; i++) places[i] = i;
        if (places) {
            (void)pm_constant(graph, "sample.places", PM_DTYPE_U32, PM_SHAPE(s->schedule->capacity), places);
        } else {
            pm_graph_fail(graph, PM_NO_MEMORY, "masked sampler: out of host memory");
        }
        free(places);
    }
}

static pm_status build(pm_masked_sampler *s, pm_error *error)
{
    pm_graph *graph = s->graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "masked sampler: out of host memory");
    const pm_masked_sampling *o = &s->options;
    pm_shape cells = PM_SHAPE(s->batch, s->length);
    bool by_rate = s->method->mode == PM_REVEAL_RATE;
    build_states(s);
    pm_draw_args draw = {.temperature = o->temperature,
                         .top_k = o->top_k,
                         .top_p = o->top_p,
                         .min_p = o->min_p,
                         .confidence = s->method->confidence,
                         .rows_per_sample = s->length};
    pm_reveal_args reveal = {.mode = s->method->mode,
                             .mask_token = s->denoiser.vocabulary,
                             .threshold = o->threshold,
                             .position_temperature = o->position_temperature};
    pm_tensor sure = s->order;
    bool confident = !by_rate && !s->order.id;
    pm_tensor tokens = pm_draw_tokens(graph, build_logits(s), PM_NONE, s->counter, PM_STREAM_MASKED_DRAW,
                                      draw, confident ? &sure : NULL);
    tokens = pm_reshape(graph, tokens, cells);
    if (confident) sure = pm_reshape(graph, sure, cells);
    (void)pm_reveal(graph, s->canvas, tokens, sure, s->amount, s->window, s->counter, PM_STREAM_MASKED_REVEAL,
                    reveal);
    pm_advance(graph, s->counter);
    return pm_graph_status(graph, error);
}

/* The same for fewer canvases at a time. */
static pm_graph *rebuild(void *user, uint32_t index, uint32_t batch)
{
    pm_masked_sampler s = *(const pm_masked_sampler *)user;
    (void)index;
    s.batch = batch;
    if (build(&s, NULL) == PM_OK) return s.graph;
    pm_graph_destroy(s.graph);
    return NULL;
}

static pm_status make_plan(pm_masked_sampler *s, pm_device *device, pm_error *error)
{
    pm_plan_options options = {.precision = s->options.precision};
    pm_status status = build(s, error);
    if (status != PM_OK) return status;
    return pm_plan_create_batch(device, s->graph, &options, s->batch, rebuild, s, &s->plan, error);
}

pm_status pm_masked_sampler_create(pm_device *device, const pm_denoiser *denoiser,
                                   const pm_masked_sampling *options, uint32_t batch, uint32_t length,
                                   pm_masked_sampler **out, pm_error *error)
{
    *out = NULL;
    pm_masked_sampler *s = calloc(1, sizeof *s);
    if (!s) return pm_fail(error, PM_NO_MEMORY, "masked sampler: out of host memory");
    s->options = *options;
    s->denoiser = *denoiser;
    s->batch = batch;
    s->length = length;
    s->doubled = options->guidance != 1.0f && options->guidance != 0.0f;
    pm_status status = check_options(s, error);
    if (status == PM_OK) {
        status =
            pm_masked_schedule_create(&s->options, batch, length, denoiser->vocabulary, &s->schedule, error);
    }
    if (status == PM_OK) {
        s->host = malloc((size_t)batch * length * sizeof *s->host);
        if (!s->host) status = pm_fail(error, PM_NO_MEMORY, "masked sampler: out of host memory");
    }
    if (status == PM_OK) status = make_plan(s, device, error);
    if (status == PM_OK && options->load) status = options->load(options->user, s->plan, s->graph, error);
    if (status == PM_OK) {
        *out = s;
    } else {
        pm_masked_sampler_destroy(s);
    }
    return status;
}

void pm_masked_sampler_destroy(pm_masked_sampler *sampler)
{
    if (!sampler) return;
    pm_plan_destroy(sampler->plan);
    pm_graph_destroy(sampler->graph);
    pm_masked_schedule_destroy(sampler->schedule);
    free(sampler->host);
    free(sampler);
}

/* ---- Running ------------------------------------------------------------------------------------------- */

static pm_status write_tables(pm_masked_sampler *s, const uint32_t *canvas, pm_error *error)
{
    const pm_masked_schedule *t = s->schedule;
    size_t cells = (size_t)s->batch * s->length, table = (size_t)t->capacity * s->batch;
    const struct {
        pm_tensor tensor;
        const void *data;
        size_t count;
    } all[] = {
        {s->canvas, canvas, cells},
        {s->window, t->window, 2 * (size_t)t->capacity},
        {s->amount, t->rate ? (const void *)t->rate : t->count, table},
        {s->time, t->time, table},
        {s->sharpen, t->sharpen, t->capacity},
        {s->order, t->order, cells},
        {s->given, s->host, cells},
    };
    pm_status status = PM_OK;
    /* Of the prompt it is asked whether a position was free: not 0 where it was. */
    for (size_t i = 0; i < cells; i++) s->host[i] = canvas[i] == s->denoiser.vocabulary;
    for (size_t i = 0; status == PM_OK && i < sizeof all / sizeof *all; i++) {
        if (!all[i].tensor.id) continue;
        status = pm_plan_write(s->plan, all[i].tensor, all[i].data, 4 * all[i].count, error);
    }
    return status;
}

static pm_status read_canvas(pm_masked_sampler *s, uint32_t *canvas, pm_error *error)
{
    return pm_plan_read(s->plan, s->canvas, canvas, (size_t)s->batch * s->length * sizeof *canvas, error);
}

/* Steps from .. from+count-1, the counter set to them. */
static pm_status run_steps(pm_masked_sampler *s, uint32_t first, uint32_t from, uint32_t count,
                           pm_error *error)
{
    pm_status status = PM_OK;
    uint64_t seed = s->options.seed;
    if (s->step != from) {
        uint32_t counter[4] = {from, first, (uint32_t)seed, (uint32_t)(seed >> 32)};
        status = pm_plan_write(s->plan, s->counter, counter, sizeof counter, error);
    }
    if (status == PM_OK) status = pm_plan_run(s->plan, count, error);
    s->step = from + count;
    s->passes += count;
    return status;
}

/* How many steps from `step` on can be submitted at once: active ones, until somebody wants to look. */
static uint32_t stretch(const pm_masked_sampler *s, uint32_t step)
{
    uint32_t end = step, every = s->options.progress ? s->options.progress_every : 0;
    if (s->method->mode == PM_REVEAL_THRESHOLD) return 1;
    while (end < s->schedule->steps && s->schedule->active[end]) {
        end++;
        if (every && end % every == 0) break;
    }
    return end - step;
}

/* Where a threshold sampler goes on: at the next block once this one has no mask in any row. */
static uint32_t skip_finished(const pm_masked_sampler *s, uint32_t step)
{
    const pm_masked_schedule *t = s->schedule;
    uint32_t begin = t->window[2 * step - 2], end = t->window[2 * step - 1];
    for (uint32_t b = 0; b < s->batch; b++) {
        for (uint32_t i = begin; i < end; i++) {
            if (s->host[(size_t)b * s->length + i] == s->denoiser.vocabulary) return step;
        }
    }
    while (step < t->steps && t->window[2 * step] == begin) step++;
    return step;
}

static pm_status run_all(pm_masked_sampler *s, uint32_t first, pm_error *error)
{
    const pm_masked_sampling *o = &s->options;
    uint32_t total = s->schedule->steps, every = o->progress ? o->progress_every : 0;
    bool adaptive = s->method->mode == PM_REVEAL_THRESHOLD;
    uint32_t shown = 0; /* the step after which progress was last called */
    pm_status status = PM_OK;
    for (uint32_t step = 0; status == PM_OK && step < total;) {
        uint32_t count = s->schedule->active[step] ? stretch(s, step) : 0;
        if (count) status = run_steps(s, first, step, count, error);
        step += count ? count : 1;
        bool look = every && count && step / every != shown / every;
        if (status == PM_OK && ((adaptive && count) || look)) status = read_canvas(s, s->host, error);
        if (look) shown = step;
        if (status == PM_OK && look && !o->progress(o->user, step, total, s->host)) break;
        if (status == PM_OK && adaptive && count) step = skip_finished(s, step);
    }
    return status;
}

pm_status pm_masked_sampler_run(pm_masked_sampler *sampler, uint32_t *canvas, uint32_t first, pm_error *error)
{
    pm_masked_sampler *s = sampler;
    uint32_t vocabulary = s->denoiser.vocabulary;
    for (size_t i = 0; i < (size_t)s->batch * s->length; i++) {
        if (canvas[i] > vocabulary) {
            return pm_fail(error, PM_BAD_USAGE,
                           "masked sampler: token %u stands in the canvas, of a vocabulary of %u", canvas[i],
                           vocabulary);
        }
    }
    pm_masked_schedule_fill(s->schedule, &s->options, canvas, first);
    s->passes = 0;
    s->step = UINT32_MAX; /* unlike any, so that the first stretch writes the counter */
    pm_status status = write_tables(s, canvas, error);
    if (status == PM_OK) status = run_all(s, first, error);
    if (status == PM_OK) status = read_canvas(s, canvas, error);
    return status;
}
