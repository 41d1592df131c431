/* Bits of a text; see score_text.h. */
#include "training/score_text.h"

#include "base/status.h"
#include "processes/autoregressive.h"
#include "processes/masked_text.h"
#include "sampling/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, DRAWS = 8, IGNORED = -1 };

/* A plan that scores a batch of windows. */
typedef struct scoring {
    const pm_model *model;
    pm_score_options options;
    const uint32_t *tokens;
    uint32_t n, length, windows;
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor window, labels, counter, result;
    uint32_t *window_host, *label_host;
    pm_text_score *out;
} scoring;

static pm_status begin(scoring *s, pm_error *error)
{
    s->graph = pm_graph_create();
    size_t count = (size_t)s->options.batch * s->length;
    s->window_host = calloc(count, sizeof *s->window_host);
    s->label_host = calloc(count, sizeof *s->label_host);
    if (!s->graph || !s->window_host || !s->label_host)
        return pm_fail(error, PM_NO_MEMORY, "score: out of host memory");
    pm_shape shape = PM_SHAPE(s->options.batch, s->length);
    s->window = pm_state(s->graph, "score.window", PM_DTYPE_U32, shape);
    return PM_OK;
}

static pm_status make_plan(scoring *s, pm_device *device, pm_error *error)
{
    pm_plan_options options = {.precision = s->options.precision};
    pm_output(s->graph, s->result);
    pm_status status = pm_plan_create(device, s->graph, &options, &s->plan, error);
    return status == PM_OK ? pm_model_load_into(s->model, s->plan, s->graph, error) : status;
}

static void end(scoring *s)
{
    pm_plan_destroy(s->plan);
    pm_graph_destroy(s->graph);
    free(s->window_host);
    free(s->label_host);
}

static pm_status tell(const scoring *s, uint32_t done, uint32_t total, pm_error *error)
{
    if (!s->options.progress || s->options.progress(s->options.user, done, total)) return PM_OK;
    return pm_fail(error, PM_FAILED, "stopped before the text was scored");
}

/* ---- Autoregressive ------------------------------------------------------------------------------------ */

/* What the window that begins at `start` shows and is asked for: all of it in the first one, and what no
 * window before has scored in the others. */
static void fill_window(scoring *s, uint32_t row, uint32_t start, uint32_t scored_before)
{
    uint32_t *window = s->window_host + (size_t)row * s->length;
    uint32_t *labels = s->label_host + (size_t)row * s->length;
    for (uint32_t i = 0; i < s->length; i++) {
        bool exists = start < s->n && i < s->n - start;
        window[i] = exists ? s->tokens[start + i] : 0;
        labels[i] = exists && start + i >= scored_before ? window[i] : (uint32_t)IGNORED;
    }
}

static pm_status run_causal(scoring *s, pm_error *error)
{
    uint32_t stride = s->options.stride, batch = s->options.batch;
    size_t bytes = (size_t)batch * s->length * sizeof(uint32_t);
    uint32_t after_first = s->n > s->length ? s->n - s->length : 0;
    s->windows = 1 + (after_first + stride - 1) / stride;
    pm_status status = PM_OK;
    for (uint32_t w = 0; status == PM_OK && w < s->windows; w += batch) {
        float mean;
        for (uint32_t row = 0; row < batch; row++) {
            uint32_t number = w + row, scored = number ? s->length + (number - 1) * stride : 0;
            if (number < s->windows)
                fill_window(s, row, number * stride, scored);
            else
                fill_window(s, row, s->n, s->n); /* beyond the last: nothing is asked */
        }
        status = pm_plan_write(s->plan, s->window, s->window_host, bytes, error);
        if (status == PM_OK) status = pm_plan_write(s->plan, s->labels, s->label_host, bytes, error);
        if (status == PM_OK) status = pm_plan_run(s->plan, 1, error);
        if (status == PM_OK) status = pm_plan_read(s->plan, s->result, &mean, sizeof mean, error);
        if (status == PM_OK) s->out->nats += (double)mean * batch * s->length;
        if (status == PM_OK)
            status = tell(s, w + batch < s->windows ? w + batch : s->windows, s->windows, error);
    }
    return status;
}

static pm_status score_causal(scoring *s, pm_device *device, pm_error *error)
{
    const pm_transformer_config *config = &s->model->recipe.transformer;
    s->length = config->context;
    if (s->options.stride == 0 || s->options.stride > s->length) s->options.stride = (s->length + 1) / 2;
    pm_status status = begin(s, error);
    if (status != PM_OK) return status;
    s->labels = pm_state(s->graph, "score.labels", PM_DTYPE_U32, PM_SHAPE(s->options.batch, s->length));
    pm_tensor inputs = pm_autoregressive_inputs(s->graph, config, s->window);
    pm_tensor features =
        pm_transformer(s->graph, config, inputs, (pm_transformer_inputs){.counter = PM_NONE});
    s->result = pm_transformer_loss(s->graph, config, features, s->labels, PM_NONE);
    status = make_plan(s, device, error);
    if (status == PM_OK) status = run_causal(s, error);
    s->out->tokens = s->n;
    s->out->windows = s->windows;
    s->out->draws = 1;
    return status;
}

/* ---- Masked -------------------------------------------------------------------------------------------- */

/* Masks a batch of windows, from number w on, once, and adds up their bounds. No weight and no result goes
 * into the counter: another model with the same context and batch is asked about the same masks. */
static pm_status draw_batch(scoring *s, uint32_t w, uint32_t draw, double *total, pm_error *error)
{
    uint32_t batch = s->options.batch;
    size_t bytes = (size_t)batch * s->length * sizeof(uint32_t);
    uint32_t counter[4] = {draw, w, (uint32_t)s->options.seed, (uint32_t)(s->options.seed >> 32)};
    float *bounds = malloc(batch * sizeof *bounds);
    if (!bounds) return pm_fail(error, PM_NO_MEMORY, "score: out of host memory");
    for (uint32_t row = 0; row < batch; row++) {
        uint32_t number = w + row < s->windows ? w + row : s->windows - 1;
        memcpy(s->window_host + (size_t)row * s->length, s->tokens + (size_t)number * s->length,
               s->length * sizeof(uint32_t));
    }
    pm_status status = pm_plan_write(s->plan, s->window, s->window_host, bytes, error);
    if (status == PM_OK) status = pm_plan_write(s->plan, s->counter, counter, sizeof counter, error);
    if (status == PM_OK) status = pm_plan_run(s->plan, 1, error);
    if (status == PM_OK) status = pm_plan_read(s->plan, s->result, bounds, batch * sizeof *bounds, error);
    for (uint32_t row = 0; status == PM_OK && row < batch && w + row < s->windows; row++)
        *total += (double)bounds[row];
    free(bounds);
    return status;
}

/* Within a draw the numbers of masks are spread evenly over a batch, which takes most of the noise out and
 * makes windows depend on each other; draws are independent, so that their totals tell the error. */
static pm_status run_masked(scoring *s, pm_error *error)
{
    uint32_t draws = s->options.draws, batch = s->options.batch;
    double sum = 0.0, squares = 0.0, n = draws;
    pm_status status = PM_OK;
    for (uint32_t draw = 0; status == PM_OK && draw < draws; draw++) {
        double total = 0.0;
        for (uint32_t w = 0; status == PM_OK && w < s->windows; w += batch) {
            status = draw_batch(s, w, draw, &total, error);
            uint32_t done = w + batch < s->windows ? w + batch : s->windows;
            if (status == PM_OK) status = tell(s, draw * s->windows + done, draws * s->windows, error);
        }
        sum += total;
        squares += total * total;
    }
    s->out->nats = sum / n;
    s->out->deviation = sqrt(fmax(squares - sum * sum / n, 0.0) / (n - 1.0) / n);
    return status;
}

static pm_status score_masked(scoring *s, pm_device *device, pm_error *error)
{
    const pm_recipe *recipe = &s->model->recipe;
    s->length = recipe->transformer.context;
    s->windows = s->n / s->length;
    if (s->windows == 0)
        return pm_fail(error, PM_BAD_USAGE, "score: %u tokens are less than a window of %u", s->n, s->length);
    pm_status status = begin(s, error);
    if (status != PM_OK) return status;
    pm_text_denoiser text = {.config = &recipe->transformer};
    pm_denoiser denoiser = pm_denoiser_of(&text);
    pm_masked_config masking = pm_recipe_masking(recipe);
    if (!masking.time_conditioned) masking.objective = PM_MASKED_K;
    /* No time is left out, so that it is a bound to the last digit. */
    masking.masking.t_min = masking.masking.eps = 0.0f;
    masking.masking.stratified = true;
    s->counter = pm_counter(s->graph);
    s->result = pm_masked_bound(s->graph, &masking, &denoiser, s->window, PM_NONE, s->counter);
    status = make_plan(s, device, error);
    if (status == PM_OK) status = run_masked(s, error);
    s->out->tokens = s->windows * s->length;
    s->out->windows = s->windows;
    s->out->draws = s->options.draws;
    return status;
}

pm_status pm_score_text(pm_device *device, const pm_model *model, const uint32_t *tokens, uint32_t n,
                        const pm_score_options *options, pm_text_score *out, pm_error *error)
{
    scoring s = {.model = model, .options = *options, .tokens = tokens, .n = n, .out = out};
    *out = (pm_text_score){0};
    if (s.options.batch == 0) s.options.batch = BATCH;
    if (s.options.draws == 0) s.options.draws = DRAWS;
    if (s.options.draws < 2) return pm_fail(error, PM_BAD_USAGE, "score: an error needs two draws or more");
    if (n == 0 || !pm_kind_is_text(model->recipe.kind))
        return pm_fail(error, PM_BAD_USAGE, "score: it takes a model of text, and a text");
    for (uint32_t i = 0; i < n; i++) {
        if (tokens[i] >= model->recipe.transformer.vocabulary)
            return pm_fail(error, PM_BAD_USAGE, "score: token %u is none of the model's", tokens[i]);
    }
    pm_status status = model->recipe.kind == PM_KIND_TEXT_MASKED ? score_masked(&s, device, error)
                                                                 : score_causal(&s, device, error);
    end(&s);
    return status;
}
