/* How long blanks of free length are; see infill.h. */
#include "sampling/infill.h"

#include "base/status.h"
#include "processes/masked_text.h"

#include <stdlib.h>

/* Tokens behind a blank that are asked about. */
enum { MOST_ASKED = 32 };

/* The plan that asks: row j of a canvas shows the first j tokens behind the blank and is asked for the next.
 */
typedef struct asking {
    pm_generation *g;
    uint32_t rows, length, mask;
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor canvas, labels, loss;
    uint32_t *canvas_host, *labels_host;
} asking;

static pm_status begin(asking *a, pm_error *error)
{
    const pm_transformer_config *config = &a->g->model->recipe.transformer;
    size_t count = (size_t)a->rows * a->length;
    pm_plan_options options = {.precision = a->g->options.precision};
    pm_text_denoiser text = {.config = config, .pad_to = config->context};
    pm_denoiser denoiser = pm_denoiser_of(&text);
    a->graph = pm_graph_create();
    a->canvas_host = calloc(count, sizeof *a->canvas_host);
    a->labels_host = calloc(count, sizeof *a->labels_host);
    if (!a->graph || !a->canvas_host || !a->labels_host)
        return pm_fail(error, PM_NO_MEMORY, "infill: out of host memory");
    if (config->time)
        return pm_fail(error, PM_BAD_USAGE,
                       "infill: this network is told the time, so that it cannot be asked "
                       "for lengths: write them, [7]");
    a->canvas = pm_state(a->graph, "canvas", PM_DTYPE_U32, PM_SHAPE(a->rows, a->length));
    a->labels = pm_state(a->graph, "labels", PM_DTYPE_U32, PM_SHAPE(a->rows * a->length));
    a->loss = denoiser.loss(denoiser.user, a->graph, a->canvas, PM_NONE, a->labels, PM_NONE);
    pm_output(a->graph, a->loss);
    pm_status status = pm_plan_create(a->g->device, a->graph, &options, &a->plan, error);
    return status == PM_OK ? pm_generation_load(a->g, a->plan, a->graph, error) : status;
}

static void end(asking *a)
{
    pm_plan_destroy(a->plan);
    pm_graph_destroy(a->graph);
    free(a->canvas_host);
    free(a->labels_host);
}

/* Row j: what precedes the blank, the blank, j tokens behind it, and masks to the end. */
static void fill_rows(asking *a, const uint32_t *before, uint32_t n_before, uint32_t blank,
                      const uint32_t *behind)
{
    for (uint32_t j = 0; j < a->rows; j++) {
        uint32_t *canvas = a->canvas_host + (size_t)j * a->length;
        uint32_t *labels = a->labels_host + (size_t)j * a->length;
        for (uint32_t i = 0; i < a->length; i++) {
            canvas[i] = i < n_before ? before[i] : a->mask;
            labels[i] = UINT32_MAX;
        }
        for (uint32_t i = 0; i < j; i++) canvas[n_before + blank + i] = behind[i];
        labels[n_before + blank + j] = behind[j];
    }
}

/* -log p(what is behind | what is before, a blank of so many tokens), in nats. */
static pm_status ask(asking *a, const uint32_t *before, uint32_t n_before, uint32_t blank,
                     const uint32_t *behind, double *nats, pm_error *error)
{
    size_t count = (size_t)a->rows * a->length, bytes = count * sizeof(uint32_t);
    float mean = 0.0f;
    fill_rows(a, before, n_before, blank, behind);
    pm_status status = pm_plan_write(a->plan, a->canvas, a->canvas_host, bytes, error);
    if (status == PM_OK) status = pm_plan_write(a->plan, a->labels, a->labels_host, bytes, error);
    if (status == PM_OK) status = pm_plan_run(a->plan, 1, error);
    if (status == PM_OK) status = pm_plan_read(a->plan, a->loss, &mean, sizeof mean, error);
    *nats = (double)mean * (double)count;
    return status;
}

static pm_status choose(pm_generation *g, pm_infill_part *part, const pm_infill_part *next,
                        const uint32_t *before, uint32_t n_before, pm_error *error)
{
    asking a = {.g = g,
                .rows = next->n < MOST_ASKED ? next->n : MOST_ASKED,
                .mask = g->model->recipe.transformer.vocabulary};
    a.length = n_before + part->most + a.rows;
    uint32_t best = part->least;
    double least = 0.0;
    pm_status status = begin(&a, error);
    for (uint32_t blank = part->least; status == PM_OK && blank <= part->most; blank++) {
        double nats;
        status = ask(&a, before, n_before, blank, next->tokens, &nats, error);
        if (blank == part->least || nats < least) {
            least = nats;
            best = blank;
        }
    }
    part->least = part->most = best;
    end(&a);
    return status;
}

pm_status pm_infill_choose_lengths(pm_generation *g, pm_infill *infill, pm_error *error)
{
    uint32_t mask = g->model->recipe.transformer.vocabulary, n = 0;
    uint32_t *canvas = calloc(pm_infill_length(infill) + 1, sizeof *canvas);
    pm_status status = canvas ? PM_OK : pm_fail(error, PM_NO_MEMORY, "infill: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < infill->count; i++) {
        pm_infill_part *part = &infill->parts[i], *next = part + 1;
        for (uint32_t k = 0; k < part->n; k++) canvas[n++] = part->tokens[k];
        bool asks = part->least < part->most && i + 1 < infill->count && next->n > 0;
        if (asks)
            status = choose(g, part, next, canvas, n, error);
        else
            part->least = part->most;
        for (uint32_t k = 0; k < part->least; k++) canvas[n++] = mask;
    }
    free(canvas);
    return status;
}
