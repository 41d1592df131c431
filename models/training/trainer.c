/* Training as one graph, and its checkpoints; see trainer.h. */
#include "training/trainer.h"

#include "base/status.h"
#include "graph/graph.h"
#include "plan/advice.h"
#include "sampling/model.h"
#include "training/losses.h"
#include "training/scaled_loss.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pm_trainer {
    pm_recipe recipe;
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor counter, loss;
    pm_batch_source data;
    char *tokenizer; /* JSON, or NULL */
    pm_adamw_state optimizer;
    bool scaled; /* the loss: precisions fast and rounded */
    pm_loss_scale_state scale;
    uint64_t step;
};

/* ---- The graph of a step ------------------------------------------------------------------------------- */

/* lr(step): a linear rise over the warm-up, then the recipe's decay to zero at the last step; computed in
 * double. */
static float *learning_rates(const pm_recipe *recipe, uint32_t *count)
{
    uint32_t warmup = recipe->training.warmup, steps = recipe->training.steps;
    bool constant = recipe->training.decay == PM_DECAY_CONSTANT;
    *count = constant ? warmup + 1 : steps;
    float *rates = malloc(*count * sizeof *rates);
    for (uint32_t i = 0; rates && i < *count; i++) {
        double rate = (double)recipe->training.learning_rate;
        double progress = steps > warmup ? ((double)i - warmup) / (double)(steps - warmup) : 0.0;
        if (i < warmup) {
            rate *= (double)(i + 1) / (double)(warmup + 1);
        } else if (recipe->training.decay == PM_DECAY_COSINE) {
            rate *= 0.5 * (1.0 + cos(acos(-1.0) * progress));
        } else if (recipe->training.decay == PM_DECAY_LINEAR) {
            rate *= 1.0 - progress;
        }
        rates[i] = (float)rate;
    }
    return rates;
}

static pm_status build(pm_trainer *t, const pm_training_data *data, pm_error *error)
{
    pm_graph *graph = t->graph;
    const pm_recipe *recipe = &t->recipe;
    t->counter = pm_counter(graph);
    t->loss = pm_kind_is_text(recipe->kind)
                  ? pm_text_loss(graph, recipe, data->n_tokens, t->counter, &t->data)
                  : pm_picture_loss(graph, recipe, data->pictures, t->counter, &t->data, error);
    pm_output(graph, t->loss);
    if (recipe->training.recompute) pm_recompute(graph);
    pm_tensor gradient =
        t->scaled ? pm_scaled_backward(graph, t->loss, &t->scale) : pm_backward(graph, t->loss);
    pm_adamw_args args = {
        .beta1 = recipe->training.beta1,
        .beta2 = recipe->training.beta2,
        .eps = recipe->training.eps,
        .weight_decay = recipe->training.weight_decay,
        .clip_norm = recipe->training.clip_norm,
        .ema = recipe->training.ema,
        .ema_warmup = recipe->training.ema_warmup,
    };
    float *rates = learning_rates(recipe, &args.n_learning_rates);
    if (!rates) return pm_fail(error, PM_NO_MEMORY, "trainer: out of host memory");
    args.learning_rates = rates;
    t->optimizer = pm_adamw(graph, gradient, t->counter, args);
    if (t->scaled) pm_loss_scale_update(graph, t->scale, t->optimizer.grad_norm);
    pm_advance(graph, t->counter);
    free(rates);
    return pm_graph_status(graph, error);
}

/* ---- Life ---------------------------------------------------------------------------------------------- */

static pm_status write_counter(pm_trainer *t, uint64_t step, pm_error *error)
{
    uint64_t seed = t->recipe.training.seed;
    uint32_t counter[4] = {(uint32_t)step, 0, (uint32_t)seed, (uint32_t)(seed >> 32)};
    t->step = step;
    return pm_plan_write(t->plan, t->counter, counter, sizeof counter, error);
}

static pm_status write_data(pm_trainer *t, const pm_training_data *data, pm_error *error)
{
    if (pm_kind_is_text(t->recipe.kind))
        return pm_plan_write(t->plan, t->data.tokens, data->tokens, (size_t)data->n_tokens * 4, error);
    const pm_dataset *pictures = data->pictures;
    size_t bytes = (size_t)pictures->count * pictures->height * pictures->width * pictures->channels;
    pm_status status = pm_plan_write(t->plan, t->data.pixels, pictures->pixels, bytes, error);
    if (status != PM_OK) return status;
    return pm_plan_write(t->plan, t->data.labels, pictures->labels, (size_t)pictures->count * 4, error);
}

/* ---- When it does not fit ------------------------------------------------------------------------------ */

/* Settings that make a step smaller: the batch first. */
enum { MOST_ALTERNATIVES = 4 };

typedef struct smaller {
    const pm_trainer *trainer;
    const pm_training_data *data;
    pm_alternative settings[MOST_ALTERNATIVES];
    uint32_t count;
} smaller;

static void find_settings(smaller *s)
{
    const pm_recipe *r = &s->trainer->recipe;
    s->settings[s->count++] = (pm_alternative){"training.batch", r->training.batch, 1};
    if (pm_kind_is_text(r->kind)) {
        s->settings[s->count++] = (pm_alternative){"transformer.context", r->transformer.context, 8};
        s->settings[s->count++] = (pm_alternative){"transformer.width", r->transformer.width, 8};
    } else if (r->kind == PM_KIND_IMAGE_CLASSIFIER) {
        s->settings[s->count++] = (pm_alternative){"classifier.base", r->classifier.base, 4};
    } else {
        s->settings[s->count++] = (pm_alternative){"unet.base", r->unet.base, 8};
    }
    if (r->data.size > 0) s->settings[s->count++] = (pm_alternative){"data.size", r->data.size, 8};
}

static pm_status set(pm_recipe *recipe, const char *key, uint32_t value)
{
    char assignment[64];
    (void)snprintf(assignment, sizeof assignment, "%s=%u", key, value);
    return pm_recipe_set(recipe, assignment, NULL);
}

/* The graph of a step with one setting changed: only shapes matter, so the data may be what it is not. */
static pm_graph *rebuild(void *user, uint32_t index, uint32_t value)
{
    const smaller *s = user;
    pm_trainer t = {.recipe = s->trainer->recipe, .scaled = s->trainer->scaled};
    pm_training_data data = *s->data;
    pm_dataset pictures;
    const char *name = s->settings[index].name;
    if (set(&t.recipe, name, value) != PM_OK) return NULL;
    if (strcmp(name, "data.size") == 0) { /* the pictures would come in that size */
        pictures = *data.pictures;
        pictures.height = pictures.width = value;
        data.pictures = &pictures;
        if (set(&t.recipe, "data.height", value) != PM_OK || set(&t.recipe, "data.width", value) != PM_OK)
            return NULL;
    }
    t.graph = pm_graph_create();
    if (!t.graph) return NULL;
    if (build(&t, &data, NULL) == PM_OK) return t.graph;
    pm_graph_destroy(t.graph);
    return NULL;
}

static bool is_scaled(const pm_plan_options *options)
{
    return options && pm_precision_is_half(options->precision);
}

static pm_status prepare(pm_trainer *t, pm_device *device, const pm_training_data *data,
                         const pm_plan_options *options, pm_error *error)
{
    pm_plan_options plan_options = options ? *options : (pm_plan_options){0};
    float first[PM_SCALED_LOSS_VALUES];
    plan_options.seed = t->recipe.training.seed;
    t->scaled = is_scaled(&plan_options);
    if (data->tokenizer) {
        t->tokenizer = strdup(data->tokenizer);
        if (!t->tokenizer) return pm_fail(error, PM_NO_MEMORY, "trainer: out of host memory");
    }
    pm_status status = build(t, data, error);
    if (status == PM_OK) status = pm_plan_create(device, t->graph, &plan_options, &t->plan, error);
    if (status == PM_NO_MEMORY) {
        smaller s = {.trainer = t, .data = data};
        find_settings(&s);
        return pm_plan_advise(status, device, &plan_options, s.settings, s.count, rebuild, &s, error);
    }
    if (status == PM_OK) status = write_data(t, data, error);
    if (status == PM_OK) status = write_counter(t, 0, error);
    pm_scaled_loss_first(first);
    if (status == PM_OK && t->scaled) status = pm_scaled_loss_write(t->plan, &t->scale, first, error);
    return status;
}

pm_status pm_trainer_create(pm_device *device, const pm_recipe *recipe, const pm_training_data *data,
                            const pm_plan_options *options, pm_trainer **out, pm_error *error)
{
    *out = NULL;
    pm_trainer *t = calloc(1, sizeof *t);
    if (!t) return pm_fail(error, PM_NO_MEMORY, "trainer: out of host memory");
    t->recipe = *recipe;
    t->graph = pm_graph_create();
    pm_status status = t->graph ? prepare(t, device, data, options, error)
                                : pm_fail(error, PM_NO_MEMORY, "trainer: out of host memory");
    if (status == PM_OK) {
        *out = t;
    } else {
        pm_trainer_destroy(t);
    }
    return status;
}

pm_status pm_trainer_needs(pm_device *device, const pm_recipe *recipe, const pm_training_data *data,
                           const pm_plan_options *options, pm_plan_stats *out, pm_error *error)
{
    pm_trainer t = {.recipe = *recipe, .graph = pm_graph_create(), .scaled = is_scaled(options)};
    *out = (pm_plan_stats){0};
    if (!t.graph) return pm_fail(error, PM_NO_MEMORY, "trainer: out of host memory");
    pm_status status = build(&t, data, error);
    if (status == PM_OK) status = pm_plan_needs(device, t.graph, options, out, error);
    pm_graph_destroy(t.graph);
    return status;
}

void pm_trainer_destroy(pm_trainer *trainer)
{
    if (!trainer) return;
    pm_plan_destroy(trainer->plan);
    pm_graph_destroy(trainer->graph);
    free(trainer->tokenizer);
    free(trainer);
}

pm_status pm_trainer_run(pm_trainer *trainer, uint32_t steps, pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < steps; i++) {
        status = pm_plan_run(trainer->plan, 1, error);
        if (status == PM_OK) trainer->step++;
    }
    return status;
}

uint64_t pm_trainer_step(const pm_trainer *trainer)
{
    return trainer->step;
}

pm_status pm_trainer_loss(pm_trainer *trainer, float *loss, float *grad_norm, pm_error *error)
{
    pm_status status = pm_plan_read(trainer->plan, trainer->loss, loss, sizeof *loss, error);
    if (status != PM_OK) return status;
    return pm_plan_read(trainer->plan, trainer->optimizer.grad_norm, grad_norm, sizeof *grad_norm, error);
}

pm_plan *pm_trainer_plan(pm_trainer *trainer)
{
    return trainer->plan;
}

/* ---- Checkpoints --------------------------------------------------------------------------------------- */

/* The flat tensors that make up the state of training, and the prefix under which each parameter's part is
 * stored. */
typedef struct flat_state {
    pm_tensor tensor;
    const char *prefix;
} flat_state;

static uint32_t flat_states(const pm_trainer *t, flat_state out[4])
{
    uint32_t count = 0;
    out[count++] = (flat_state){{t->graph->arena}, ""};
    out[count++] = (flat_state){t->optimizer.first_moment, PM_PREFIX_FIRST_MOMENT};
    out[count++] = (flat_state){t->optimizer.second_moment, PM_PREFIX_SECOND_MOMENT};
    if (pm_is(t->optimizer.average)) out[count++] = (flat_state){t->optimizer.average, PM_PREFIX_AVERAGE};
    return count;
}

/* Tensors of a file being written: their data points into `arenas`. */
typedef struct contents {
    float *arenas[4];
    float scale[PM_SCALED_LOSS_VALUES];
    pm_safetensor *tensors;
    char (*names)[256];
    size_t count;
} contents;

static void free_contents(contents *c)
{
    for (int i = 0; i < 4; i++) free(c->arenas[i]);
    free(c->tensors);
    free(c->names);
}

/* Reads a flat state from the device and lists each parameter's part of it as prefix + path. */
static pm_status add_flat(pm_trainer *t, contents *c, uint32_t slot, pm_tensor flat, const char *prefix,
                          pm_error *error)
{
    size_t bytes = (size_t)t->graph->arena_elements * 4;
    c->arenas[slot] = malloc(bytes);
    if (!c->arenas[slot]) return pm_fail(error, PM_NO_MEMORY, "checkpoint: out of host memory");
    pm_status status = pm_plan_read(t->plan, flat, c->arenas[slot], bytes, error);
    for (uint32_t i = 0; status == PM_OK && i < t->graph->n_params; i++) {
        pm_tensor param = pm_param_at(t->graph, i);
        const pm_tensor_info *info = pm_info(t->graph, param);
        pm_safetensor *tensor = &c->tensors[c->count];
        (void)snprintf(c->names[c->count], sizeof c->names[0], "%s%s", prefix, info->path);
        tensor->name = c->names[c->count++];
        tensor->element = PM_ELEMENT_F32;
        tensor->rank = info->shape.rank;
        for (uint32_t d = 0; d < tensor->rank; d++) tensor->shape[d] = info->shape.dim[d];
        tensor->data = c->arenas[slot] + info->offset / 4;
        tensor->bytes = pm_bytes_of(t->graph, param);
    }
    return status;
}

static pm_status add_scale(pm_trainer *t, contents *c, pm_error *error)
{
    c->tensors[c->count++] = (pm_safetensor){.name = PM_SCALED_LOSS_TENSOR,
                                             .element = PM_ELEMENT_F32,
                                             .rank = 1,
                                             .shape = {PM_SCALED_LOSS_VALUES},
                                             .data = c->scale,
                                             .bytes = sizeof c->scale};
    return pm_scaled_loss_read(t->plan, &t->scale, c->scale, error);
}

/* `scale`: the loss's as well. */
static pm_status write_states(pm_trainer *t, const flat_state *states, uint32_t count, bool scale,
                              const char *path, pm_error *error)
{
    contents c = {0};
    char step[32];
    size_t most = (size_t)count * t->graph->n_params + scale;
    char *recipe = pm_recipe_json(&t->recipe);
    c.tensors = calloc(most, sizeof *c.tensors);
    c.names = calloc(most, sizeof *c.names);
    pm_status status = c.tensors && c.names && recipe
                           ? PM_OK
                           : pm_fail(error, PM_NO_MEMORY, "checkpoint: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        status = add_flat(t, &c, i, states[i].tensor, states[i].prefix, error);
    }
    if (status == PM_OK && scale) status = add_scale(t, &c, error);
    if (status == PM_OK) {
        (void)snprintf(step, sizeof step, "%" PRIu64, t->step);
        pm_text_pair metadata[] = {{PM_META_FORMAT, PM_FORMAT_VERSION},
                                   {PM_META_RECIPE, recipe},
                                   {PM_META_STEP, step},
                                   {PM_META_TOKENIZER, t->tokenizer}};
        status = pm_safetensors_write(path, c.tensors, c.count, metadata, t->tokenizer ? 4 : 3, error);
    }
    free_contents(&c);
    free(recipe);
    return status;
}

pm_status pm_trainer_save(pm_trainer *trainer, const char *path, pm_error *error)
{
    flat_state states[4];
    return write_states(trainer, states, flat_states(trainer, states), trainer->scaled, path, error);
}

pm_status pm_trainer_export(pm_trainer *trainer, const char *path, pm_error *error)
{
    bool averaged = pm_is(trainer->optimizer.average) && trainer->step > 0;
    flat_state state = {averaged ? trainer->optimizer.average : (pm_tensor){trainer->graph->arena}, ""};
    return write_states(trainer, &state, 1, false, path, error);
}

/* ---- Resuming ------------------------------------------------------------------------------------------ */

static pm_status read_flat(pm_trainer *t, const pm_safetensors *file, const flat_state *state,
                           pm_error *error)
{
    float *values = calloc(t->graph->arena_elements, sizeof *values);
    if (!values) return pm_fail(error, PM_NO_MEMORY, "checkpoint: out of host memory");
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < t->graph->n_params; i++) {
        const pm_tensor_info *info = pm_info(t->graph, pm_param_at(t->graph, i));
        status =
            pm_model_tensor(file, state->prefix, info->path, info->shape, values + info->offset / 4, error);
    }
    if (status == PM_OK) {
        status = pm_plan_write(t->plan, state->tensor, values, (size_t)t->graph->arena_elements * 4, error);
    }
    free(values);
    return status;
}

/* A checkpoint of another precision has no scale; then this run begins with its own. */
static pm_status read_scale(pm_trainer *t, const pm_safetensors *file, pm_error *error)
{
    float values[PM_SCALED_LOSS_VALUES];
    if (!t->scaled || !pm_safetensors_find(file, PM_SCALED_LOSS_TENSOR)) return PM_OK;
    pm_status status =
        pm_model_tensor(file, "", PM_SCALED_LOSS_TENSOR, PM_SHAPE(PM_SCALED_LOSS_VALUES), values, error);
    return status == PM_OK ? pm_scaled_loss_write(t->plan, &t->scale, values, error) : status;
}

/* What must be equal for a run to continue bit for bit. */
static pm_status check_same_run(const pm_trainer *t, const pm_model *saved, const char *path, pm_error *error)
{
    const pm_recipe *a = &t->recipe, *b = &saved->recipe;
    if (a->training.batch != b->training.batch) {
        return pm_fail(error, PM_BAD_FILE, "%s was trained with batch %u, not %u: resume with the same", path,
                       b->training.batch, a->training.batch);
    }
    if (a->training.seed != b->training.seed) {
        return pm_fail(error, PM_BAD_FILE,
                       "%s was trained with seed %" PRIu64 ", not %" PRIu64 ": resume with the same", path,
                       b->training.seed, a->training.seed);
    }
    return PM_OK;
}

pm_status pm_trainer_resume(pm_trainer *trainer, const char *path, pm_error *error)
{
    pm_model *saved = NULL;
    flat_state states[4];
    uint32_t count = flat_states(trainer, states);
    pm_status status = pm_model_open(path, &saved, error);
    if (status == PM_OK) status = check_same_run(trainer, saved, path, error);
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        status = read_flat(trainer, saved->file, &states[i], error);
        if (status != PM_OK) (void)pm_fail_prefix(error, status, "%s", path);
    }
    if (status == PM_OK) status = read_scale(trainer, saved->file, error);
    if (status == PM_OK && saved->step > UINT32_MAX) {
        status = pm_fail(error, PM_BAD_FILE, "%s: step %" PRIu64 " is beyond 2^32", path, saved->step);
    }
    if (status == PM_OK) status = write_counter(trainer, saved->step, error);
    pm_model_close(saved);
    return status;
}
