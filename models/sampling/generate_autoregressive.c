/* Text from left to right, from a model file: prompts, stop strings, batches. */
#include "sampling/generate.h"

#include "base/status.h"
#include "sampling/autoregressive_sampler.h"

#include <stdlib.h>
#include <string.h>

/* One batch under way. */
typedef struct writing {
    pm_generation generation; /* first: pm_generation_load reads it */
    uint32_t done, count;     /* texts before this batch, and of it */
    size_t prompt_bytes;
    bool *ended;
    pm_status status;
    pm_error error;
} writing;

/* Where the first of the stop strings begins in a text, looked for from `from` on; the size when there is
 * none. */
static size_t find_stop(const pm_text_options *o, const char *text, size_t size, size_t from)
{
    size_t at = size;
    for (uint32_t i = 0; i < o->n_stop; i++) {
        size_t length = strlen(o->stop[i]);
        for (size_t k = from; length && k + length <= at; k++) {
            if (memcmp(text + k, o->stop[i], length) == 0) at = k;
        }
    }
    return at;
}

static size_t longest_stop(const pm_text_options *o)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < o->n_stop; i++) {
        if (strlen(o->stop[i]) > longest) longest = strlen(o->stop[i]);
    }
    return longest;
}

/* Adds a token's bytes to a text and ends it at a stop string. */
static bool extend(writing *w, uint32_t i, uint32_t token)
{
    pm_generation *g = &w->generation;
    uint32_t index = w->done + i;
    size_t before = g->out->sizes[index], longest = longest_stop(&g->options), count;
    const uint8_t *bytes = pm_tokenizer_token(g->model->tokenizer, token, &count);
    w->status = pm_generation_append(g, index, bytes, count, &w->error);
    if (w->status != PM_OK) return false;
    g->out->tokens++;
    size_t from = before > longest ? before - longest : 0;
    if (from < w->prompt_bytes) from = w->prompt_bytes; /* what is given does not end it */
    size_t end = find_stop(&g->options, g->out->texts[index], g->out->sizes[index], from);
    w->ended[i] = end < g->out->sizes[index];
    if (w->ended[i]) {
        g->out->texts[index][end] = '\0';
        g->out->sizes[index] = end;
    }
    if (w->ended[i] || !g->options.gained) return true;
    return g->options.gained(g->options.user, index, (const char *)bytes, count);
}

static bool on_token(void *user, uint32_t step, const uint32_t *tokens)
{
    writing *w = user;
    bool all_ended = true;
    (void)step;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->ended[i]) continue;
        if (!extend(w, i, tokens[i])) {
            w->generation.out->stopped = w->status == PM_OK;
            return false;
        }
        all_ended &= w->ended[i];
    }
    return !all_ended;
}

static pm_status write_batch(writing *w, const uint32_t *prompt, uint32_t n, pm_error *error)
{
    pm_generation *g = &w->generation;
    pm_ar_timing timing;
    pm_ar_options options = {
        .batch = w->count,
        .length = g->options.length,
        .seed = g->options.seed,
        .first = g->options.first + w->done,
        .draw = g->draw,
        .precision = g->options.precision,
        .load = pm_generation_load,
        .token = on_token,
        .user = w,
    };
    memset(w->ended, 0, w->count * sizeof *w->ended);
    pm_status status = pm_autoregressive_sample(g->device, &g->model->recipe.transformer, &options, prompt, n,
                                                &timing, error);
    g->out->prompt_seconds += timing.prompt_seconds;
    g->out->seconds += timing.decode_seconds;
    g->out->prompt_tokens += timing.prompt_tokens * w->count;
    g->out->passes += timing.decoded_tokens;
    if (status == PM_OK && w->status != PM_OK) return pm_fail(error, w->status, "%s", w->error.message);
    return status;
}

static pm_status write_all(writing *w, const uint32_t *prompt, uint32_t n, pm_error *error)
{
    pm_generation *g = &w->generation;
    const pm_text_options *o = &g->options;
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < o->count; i++) {
        status = pm_generation_append(g, i, o->prompt ? o->prompt : "", w->prompt_bytes, error);
    }
    for (; status == PM_OK && w->done < o->count && !g->out->stopped; w->done += w->count) {
        w->count = o->count - w->done < o->batch ? o->count - w->done : o->batch;
        status = write_batch(w, prompt, n, error);
    }
    return status;
}

pm_status pm_generate_autoregressive(pm_generation *g, pm_error *error)
{
    writing w = {.generation = *g, .prompt_bytes = g->options.prompt ? strlen(g->options.prompt) : 0};
    uint32_t *prompt = NULL;
    size_t n = 0;
    if (g->options.suffix || g->options.infill) {
        return pm_fail(error, PM_BAD_USAGE,
                       "%s writes from left to right: it takes a prompt, and neither a suffix nor blanks",
                       g->model->recipe.name);
    }
    const char *text = g->options.prompt ? g->options.prompt : "";
    pm_status status = pm_tokenizer_encode(g->model->tokenizer, (const uint8_t *)text, w.prompt_bytes, false,
                                           &prompt, &n, error);
    w.ended = calloc(g->options.batch, sizeof *w.ended);
    if (status == PM_OK && !w.ended) status = pm_fail(error, PM_NO_MEMORY, "text: out of host memory");
    if (status == PM_OK) status = write_all(&w, prompt, (uint32_t)n, error);
    free(w.ended);
    free(prompt);
    return status;
}
