/* The first operator that makes a NaN or an infinity; see finite.h. What a plan keeps is looked at before
 * each run and every tensor after the node that writes it, so that the first one found was made there. */
#include "finite.h"

#include "base/status.h"
#include "ops/op.h"
#include "plan/trace.h"
#include "sampling/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 4 };

typedef struct watch {
    finite_result *out;
    const char *stage;
} watch;

/* What a tensor holds. */
typedef struct content {
    uint32_t bad, first, count;
    float value; /* the first that is not finite */
    float largest;
} content;

static pm_status look(pm_plan *plan, pm_tensor tensor, content *out, pm_error *error)
{
    uint32_t count = pm_count_of(plan->graph, tensor);
    float *values = malloc((size_t)count * sizeof *values);
    *out = (content){.count = count};
    if (!values) return pm_fail(error, PM_NO_MEMORY, "check: out of host memory");
    pm_status status = pm_plan_read(plan, tensor, values, (size_t)count * sizeof *values, error);
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        if (isfinite(values[i])) {
            if (fabsf(values[i]) > out->largest) out->largest = fabsf(values[i]);
        } else if (!out->bad++) {
            out->first = i;
            out->value = values[i];
        }
    }
    free(values);
    return status;
}

static bool is_f32(const pm_plan *plan, pm_tensor tensor)
{
    return pm_is(tensor) && pm_dtype_of(plan->graph, tensor) == PM_DTYPE_F32 && pm_plan_holds(plan, tensor);
}

static void name_value(const content *c, char *text, size_t size)
{
    const char *what = isnan(c->value) ? "NaN" : c->value > 0 ? "+infinity" : "-infinity";
    (void)snprintf(text, size, "%s at element %u (%u of %u numbers are not finite)", what, c->first, c->bad,
                   c->count);
}

/* ---- Before the first run ------------------------------------------------------------------------------ */

static bool reads(const pm_plan *plan, const pm_node *node, pm_tensor tensor)
{
    const pm_tensor_info *wanted = pm_info(plan->graph, tensor);
    uint64_t end = wanted->offset + pm_bytes_of(plan->graph, tensor);
    for (uint32_t i = 0; i < node->n_in; i++) {
        const pm_tensor_info *info = pm_info(plan->graph, node->in[i]);
        uint64_t info_end = info->offset + pm_bytes_of(plan->graph, node->in[i]);
        if (info->base == wanted->base && info->offset < end && wanted->offset < info_end) return true;
    }
    return false;
}

static void say_given(watch *w, const pm_plan *plan, pm_tensor tensor, const content *c)
{
    char what[200], value[120], node[200] = "no node";
    for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
        if (!reads(plan, &plan->graph->nodes[n], tensor)) continue;
        (void)pm_node_text(plan->graph, n, node, sizeof node);
        break;
    }
    name_value(c, value, sizeof value);
    (void)snprintf(w->out->found, sizeof w->out->found,
                   "%s: %s has %s before anything is computed; the first to read it is %s", w->stage,
                   pm_tensor_text(plan->graph, tensor, what, sizeof what), value, node);
}

/* Parameters one by one, other persistent tensors whole. */
static pm_status look_at_given(watch *w, pm_plan *plan, pm_error *error)
{
    const pm_graph *graph = plan->graph;
    content c;
    pm_status status = PM_OK;
    for (uint32_t id = 1; status == PM_OK && id < graph->n_tensors; id++) {
        const pm_tensor_info *info = &graph->tensors[id];
        bool root = info->base == id && id != graph->arena && info->kind != PM_KIND_TEMP;
        if ((!info->is_param && !root) || !is_f32(plan, (pm_tensor){id})) continue;
        status = look(plan, (pm_tensor){id}, &c, error);
        w->out->numbers += c.count;
        if (status != PM_OK || !c.bad) continue;
        say_given(w, plan, (pm_tensor){id}, &c);
        return pm_fail(error, PM_FAILED, "%.400s", w->out->found);
    }
    return status;
}

/* ---- Node by node -------------------------------------------------------------------------------------- */

/* What the host writes between runs (a next prompt, say) is looked at as well. */
static pm_status begin(void *user, pm_plan *plan, bool *watched, pm_error *error)
{
    watch *w = user;
    *watched = w->out->runs++ < MOST_RUNS;
    return *watched ? look_at_given(w, plan, error) : PM_OK;
}

/* Of what the node read and did not overwrite: the largest number. */
static float largest_input(pm_plan *plan, const pm_node *node)
{
    float largest = 0;
    content c;
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (node->op->updates >> i & 1u || !is_f32(plan, node->in[i])) continue;
        if (look(plan, node->in[i], &c, NULL) == PM_OK && c.largest > largest) largest = c.largest;
    }
    return largest;
}

static void say_made(watch *w, pm_plan *plan, uint32_t node, pm_tensor tensor, const content *c)
{
    char where[200], what[200], value[120];
    name_value(c, value, sizeof value);
    (void)snprintf(w->out->found, sizeof w->out->found,
                   "%s: %s makes %s of %s out of finite numbers, of which the largest is %.3g", w->stage,
                   pm_node_text(plan->graph, node, where, sizeof where), value,
                   pm_tensor_text(plan->graph, tensor, what, sizeof what),
                   (double)largest_input(plan, &plan->graph->nodes[node]));
}

static pm_status after_node(void *user, pm_plan *plan, uint32_t node, pm_error *error)
{
    watch *w = user;
    pm_tensor written[PM_MAX_WRITES];
    uint32_t count = pm_node_writes(&plan->graph->nodes[node], written);
    content c;
    pm_status status = PM_OK;
    w->out->nodes++;
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        if (!is_f32(plan, written[i])) continue;
        status = look(plan, written[i], &c, error);
        w->out->numbers += c.count;
        if (status != PM_OK || !c.bad) continue;
        say_made(w, plan, node, written[i], &c);
        return pm_fail(error, PM_FAILED, "%.400s", w->out->found);
    }
    return status;
}

/* ---- What is run --------------------------------------------------------------------------------------- */

static pm_status ended(const finite_result *out, pm_status status)
{
    return out->found[0] ? PM_OK : status;
}

pm_status finite_training(pm_device *device, const pm_recipe *recipe, const pm_training_data *data,
                          const pm_model *model, pm_precision precision, finite_result *out, pm_error *error)
{
    watch w = {.out = out, .stage = "training step"};
    pm_trace trace = {begin, after_node, &w};
    pm_plan_options options = {.precision = precision};
    pm_trainer *trainer = NULL;
    device->trace = &trace;
    pm_status status = pm_trainer_create(device, recipe, data, &options, &trainer, error);
    if (status == PM_OK && model) {
        pm_plan *plan = pm_trainer_plan(trainer);
        status = pm_model_load_into(model, plan, plan->graph, error);
    }
    if (status == PM_OK) status = pm_trainer_run(trainer, 1, error);
    pm_trainer_destroy(trainer);
    device->trace = NULL;
    return ended(out, status);
}

static pm_status draw_pictures(pm_device *device, const pm_model *model, pm_precision precision,
                               pm_error *error)
{
    enum { COUNT = 2, STEPS = 2 };
    pm_sample_options options = pm_sample_defaults();
    const pm_recipe *recipe = &model->recipe;
    options.count = COUNT;
    options.precision = precision;
    options.steps = STEPS < recipe->process.timesteps ? STEPS : 1;
    size_t pixels = (size_t)recipe->unet.height * recipe->unet.width * recipe->unet.channels;
    uint8_t *drawn = malloc(COUNT * pixels);
    if (!drawn) return pm_fail(error, PM_NO_MEMORY, "check: out of host memory");
    pm_status status = pm_model_sample(device, model, &options, drawn, NULL, error);
    free(drawn);
    return status;
}

static pm_status write_texts(pm_device *device, const pm_model *model, pm_precision precision,
                             pm_error *error)
{
    pm_text_options options = pm_text_defaults();
    pm_texts texts;
    bool masked = model->recipe.kind == PM_KIND_TEXT_MASKED;
    options.count = 2;
    options.precision = precision;
    options.steps = masked ? 2 : 0;
    options.block = masked ? 0 : UINT32_MAX;
    options.length = masked ? 0 : 4;
    pm_status status = pm_model_generate(device, model, &options, &texts, error);
    pm_texts_free(&texts);
    return status;
}

pm_status finite_sampling(pm_device *device, const pm_model *model, pm_precision precision,
                          finite_result *out, pm_error *error)
{
    watch w = {.out = out, .stage = "sampling"};
    pm_trace trace = {begin, after_node, &w};
    device->trace = &trace;
    pm_status status = pm_kind_is_text(model->recipe.kind) ? write_texts(device, model, precision, error)
                                                           : draw_pictures(device, model, precision, error);
    device->trace = NULL;
    return ended(out, status);
}
