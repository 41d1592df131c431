/* Text from left to right; see autoregressive_sampler.h. */
#include "sampling/autoregressive_sampler.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/status.h"
#include "plan/advice.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_DRAW = 1 };

/* The plan that adds a token, and what is known of the texts. */
typedef struct decoder {
    pm_device *device;
    const pm_transformer_config *config;
    const pm_ar_options *options;
    pm_graph *graph;
    pm_plan *plan;
    pm_kv_cache cache;
    pm_tensor counter, token, seen, next;
    /* What each text holds since the context last began anew: [batch][context], token V first. */
    uint32_t *context;
    uint32_t filled; /* positions of it */
    uint32_t drawn;  /* tokens so far, of each text */
    uint32_t *tokens;
    pm_ar_timing timing;
} decoder;

static bool penalises(const decoder *d)
{
    float r = d->options->draw.repetition;
    return r != 0.0f && r != 1.0f;
}

/* ---- Plans --------------------------------------------------------------------------------------------- */

static pm_status make_plan(const decoder *d, pm_graph *graph, pm_plan **plan, pm_error *error)
{
    pm_plan_options options = {.precision = d->options->precision};
    pm_status status = pm_plan_create(d->device, graph, &options, plan, error);
    return status == PM_OK ? d->options->load(d->options->user, *plan, graph, error) : status;
}

/* One step: read the token, append it to the cache, draw the next one, and leave it for the next step. */
static pm_graph *build_step(decoder *d, uint32_t batch)
{
    uint32_t vocabulary = d->config->vocabulary;
    pm_graph *graph = pm_graph_create();
    if (!graph) return NULL;
    d->counter = pm_counter(graph);
    d->token = pm_state(graph, "text.token", PM_DTYPE_U32, PM_SHAPE(batch, 1));
    pm_kv_cache_declare(graph, d->config, batch, &d->cache);
    pm_tensor features =
        pm_transformer(graph, d->config, d->token, (pm_transformer_inputs){.cache = &d->cache});
    pm_tensor logits = pm_transformer_logits(graph, d->config, features);
    if (penalises(d)) {
        d->seen = pm_state(graph, "text.seen", PM_DTYPE_U32, PM_SHAPE(batch, vocabulary));
    }
    d->next = pm_draw_tokens(graph, pm_reshape(graph, logits, PM_SHAPE(batch, vocabulary)), d->seen,
                             d->counter, STREAM_DRAW, d->options->draw, NULL);
    if (penalises(d)) (void)pm_mark_seen(graph, d->seen, d->next);
    pm_output(graph, d->next);
    pm_assign(graph, d->token, d->next);
    pm_advance(graph, d->cache.position);
    pm_advance(graph, d->counter);
    return graph;
}

/* The same for fewer texts at a time. */
static pm_graph *rebuild(void *user, uint32_t index, uint32_t batch)
{
    decoder d = *(const decoder *)user;
    (void)index;
    return build_step(&d, batch);
}

static pm_status plan_step(decoder *d, pm_error *error)
{
    pm_plan_options options = {.precision = d->options->precision};
    uint32_t batch = d->options->batch;
    d->graph = build_step(d, batch);
    if (!d->graph) return pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    pm_status status =
        pm_plan_create_batch(d->device, d->graph, &options, batch, rebuild, d, &d->plan, error);
    return status == PM_OK ? d->options->load(d->options->user, d->plan, d->graph, error) : status;
}

/* Copies keys or values of `length` positions into one state of the cache. */
static pm_status fill_cache(decoder *d, pm_plan *from, pm_tensor rows, pm_tensor state, uint32_t length,
                            pm_error *error)
{
    pm_shape shape = pm_shape_of(d->graph, state);
    size_t row = (size_t)shape.dim[2] * sizeof(float), batch = shape.dim[0], capacity = shape.dim[1];
    char *given = malloc(batch * length * row), *all = calloc(batch * capacity, row);
    pm_status status = given && all ? PM_OK : pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    if (status == PM_OK) status = pm_plan_read(from, rows, given, batch * length * row, error);
    for (size_t i = 0; status == PM_OK && i < batch; i++) {
        memcpy(all + i * capacity * row, given + i * length * row, length * row);
    }
    if (status == PM_OK) status = pm_plan_write(d->plan, state, all, batch * capacity * row, error);
    free(given);
    free(all);
    return status;
}

/* One pass over the first `length` positions of every text, whose keys and values go into the cache. The
 * cache has the bits that step by step would have given. */
static pm_status read_context(decoder *d, uint32_t length, pm_error *error)
{
    pm_kv_cache read = {0};
    pm_plan *plan = NULL;
    uint32_t batch = d->options->batch;
    pm_graph *graph = pm_graph_create();
    uint32_t *given = malloc((size_t)batch * length * sizeof *given);
    pm_status status = graph && given ? PM_OK : pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < batch; i++) {
        memcpy(given + (size_t)i * length, d->context + (size_t)i * d->config->context, length * 4);
    }
    if (status == PM_OK) {
        pm_tensor tokens = pm_state(graph, "text.tokens", PM_DTYPE_U32, PM_SHAPE(batch, length));
        (void)pm_transformer(graph, d->config, tokens, (pm_transformer_inputs){.cache = &read});
        status = make_plan(d, graph, &plan, error);
        if (status == PM_OK)
            status = pm_plan_write(plan, tokens, given, (size_t)batch * length * sizeof *given, error);
    }
    double start = pm_seconds();
    if (status == PM_OK) status = pm_plan_run(plan, 1, error);
    if (status == PM_OK) status = pm_plan_wait(plan, error);
    d->timing.prompt_seconds += pm_seconds() - start;
    d->timing.prompt_tokens += length;
    for (uint32_t i = 0; status == PM_OK && i < d->config->layers; i++) {
        status = fill_cache(d, plan, read.keys[i], d->cache.keys[i], length, error);
        if (status == PM_OK) status = fill_cache(d, plan, read.values[i], d->cache.values[i], length, error);
    }
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    free(given);
    return status;
}

/* ---- Contexts ------------------------------------------------------------------------------------------ */

static uint32_t *text(const decoder *d, uint32_t i)
{
    return d->context + (size_t)i * d->config->context;
}

/* Reads all positions but the last, which the next step will read, and tells the step where it stands. */
static pm_status enter_context(decoder *d, pm_error *error)
{
    uint32_t position[4] = {d->filled - 1, 0, 0, 0};
    pm_status status = d->filled > 1 ? read_context(d, d->filled - 1, error) : PM_OK;
    for (uint32_t i = 0; i < d->options->batch; i++) d->tokens[i] = text(d, i)[d->filled - 1];
    if (status == PM_OK) status = pm_plan_write(d->plan, d->cache.position, position, sizeof position, error);
    if (status == PM_OK)
        status = pm_plan_write(d->plan, d->token, d->tokens, d->options->batch * sizeof *d->tokens, error);
    return status;
}

/* The last `keep` tokens become a new context. */
static void begin_anew(decoder *d, uint32_t keep)
{
    for (uint32_t i = 0; i < d->options->batch; i++) {
        uint32_t *tokens = text(d, i);
        memmove(tokens + 1, tokens + d->filled - keep, keep * sizeof *tokens);
        tokens[0] = d->config->vocabulary;
    }
    d->filled = keep + 1;
}

static void take_prompt(decoder *d, const uint32_t *prompt, uint32_t n)
{
    /* Of a prompt that fills the context, as much is kept as leaves half of it free. */
    uint32_t keep = n < d->config->context ? n : d->config->context / 2;
    for (uint32_t i = 0; i < d->options->batch; i++) {
        text(d, i)[0] = d->config->vocabulary;
        if (keep) memcpy(text(d, i) + 1, prompt + n - keep, keep * sizeof *prompt);
    }
    d->filled = keep + 1;
}

static pm_status write_seen(decoder *d, const uint32_t *prompt, uint32_t n, pm_error *error)
{
    if (!penalises(d)) return PM_OK;
    size_t vocabulary = d->config->vocabulary, count = d->options->batch * vocabulary;
    uint32_t *seen = calloc(count, sizeof *seen);
    if (!seen) return pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    for (size_t i = 0; i < d->options->batch; i++) {
        for (uint32_t k = 0; k < n; k++) seen[i * vocabulary + prompt[k]] = 1;
    }
    pm_status status = pm_plan_write(d->plan, d->seen, seen, count * sizeof *seen, error);
    free(seen);
    return status;
}

/* ---- Steps --------------------------------------------------------------------------------------------- */

static pm_status step(decoder *d, bool *go_on, pm_error *error)
{
    uint32_t batch = d->options->batch;
    bool anew = d->filled == d->config->context;
    if (anew) begin_anew(d, d->config->context / 2);
    if (anew || !pm_device_uses(d->device, PM_CACHED_DECODE)) {
        pm_status status = enter_context(d, error);
        if (status != PM_OK) return status;
    }
    double start = pm_seconds();
    pm_status status = pm_plan_run(d->plan, 1, error);
    if (status == PM_OK) status = pm_plan_read(d->plan, d->next, d->tokens, batch * sizeof *d->tokens, error);
    d->timing.decode_seconds += pm_seconds() - start;
    d->timing.decoded_tokens++;
    if (status != PM_OK) return status;
    for (uint32_t i = 0; i < batch; i++) text(d, i)[d->filled] = d->tokens[i];
    d->filled++;
    *go_on = d->options->token(d->options->user, d->drawn++, d->tokens);
    return PM_OK;
}

static pm_status run(decoder *d, const uint32_t *prompt, uint32_t n, pm_error *error)
{
    size_t positions;
    const pm_ar_options *o = d->options;
    uint32_t counter[4] = {0, o->first, (uint32_t)o->seed, (uint32_t)(o->seed >> 32)};
    if (!pm_mul_size(o->batch, d->config->context, &positions))
        return pm_fail(error, PM_BAD_USAGE, "sampling: %u texts at once are too many", o->batch);
    d->context = calloc(positions, sizeof *d->context);
    d->tokens = calloc(o->batch, sizeof *d->tokens);
    if (!d->context || !d->tokens) return pm_fail(error, PM_NO_MEMORY, "sampling: out of host memory");
    take_prompt(d, prompt, n);
    pm_status status = plan_step(d, error);
    if (status == PM_OK) status = pm_plan_write(d->plan, d->counter, counter, sizeof counter, error);
    if (status == PM_OK) status = write_seen(d, prompt, n, error);
    if (status == PM_OK) status = enter_context(d, error);
    bool go_on = true;
    while (status == PM_OK && go_on && d->drawn < o->length) status = step(d, &go_on, error);
    return status;
}

pm_status pm_autoregressive_sample(pm_device *device, const pm_transformer_config *config,
                                   const pm_ar_options *options, const uint32_t *prompt, uint32_t n,
                                   pm_ar_timing *timing, pm_error *error)
{
    for (uint32_t i = 0; i < n; i++) {
        if (prompt[i] < config->vocabulary) continue;
        return pm_fail(error, PM_BAD_USAGE, "sampling: token %u of the prompt is none of the %u tokens",
                       prompt[i], config->vocabulary);
    }
    if (config->mask != PM_MASK_CAUSAL || options->batch == 0) {
        return pm_fail(error, PM_BAD_USAGE, "sampling from left to right needs a causal network and a batch");
    }
    decoder d = {.device = device, .config = config, .options = options};
    pm_status status = run(&d, prompt, n, error);
    if (timing) *timing = d.timing;
    pm_plan_destroy(d.plan);
    pm_graph_destroy(d.graph);
    free(d.context);
    free(d.tokens);
    return status;
}
