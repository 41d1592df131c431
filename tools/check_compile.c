/* The graphs of all operators and shipped models, planned on a device that only compiles, and the compiler's
 * statistics of each pipeline; see check_compile.h. */
#include "check_compile.h"
#include "cli.h"

#include "device/pipeline_statistics.h"
#include "device/shaders_embedded.h"
#include "inner_loop.h"
#include "ops/table.h"
#include "pumice_models.h"
#include "training/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct compiling {
    pm_device *device;
    json_t *pipelines, *failures;
    uint32_t reported, failed, spilled;
    pm_error first;
} compiling;

/* ---- Reporting ----------------------------------------------------------------------------------------- */

static void spec_text(const pm_pipeline_key *key, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < key->n_spec && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%u", i ? "," : "", key->spec[i]);
}

static const char *variant_text(uint32_t variant)
{
    if (variant & PM_SHADER_MATRIX) return variant & PM_SHADER_BF16 ? "fast-bf16" : "fast";
    if (variant & PM_SHADER_ROUNDED) return variant & PM_SHADER_TEXEL ? "rounded-texel" : "rounded";
    if (variant & PM_SHADER_TEXEL) return variant & PM_SHADER_FMA ? "f32-texel" : "exact-texel";
    return variant & PM_SHADER_FMA ? "f32" : "exact";
}

static void print_number(double value)
{
    if (value < 0) {
        printf(" %8s", "-");
    } else {
        printf(" %8.0f", value);
    }
}

static void print_fraction(double value)
{
    if (value < 0) {
        printf(" %8s", "-");
    } else {
        printf(" %8.2f", value);
    }
}

static void print_head(void)
{
    printf("%-26s %-11s %-28s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s %8s  %s\n", "shader", "variant",
           "constants", "subgroup", "regs", "spills", "scratch", "shared", "occupied", "instrs", "cycles",
           "latency", "loop", "per-mad", "first used by");
}

/* What the compiler's estimate is for each multiply-add; -1 where there is no estimate, or no multiply-add.
 */
static double cycles_per_multiply_add(const pm_pipeline_statistics *s, const inner_loop *loop)
{
    if (loop->cycles >= 0 && loop->multiply_adds > 0) return loop->cycles / loop->multiply_adds;
    if (s->cycles >= 0 && loop->counted > 0) return s->cycles / loop->counted;
    return -1;
}

static void print_row(const pm_pipeline_key *key, const pm_pipeline_statistics *s, const inner_loop *loop,
                      const char *user)
{
    char spec[160];
    spec_text(key, spec, sizeof spec);
    printf("%-26s %-11s %-28s %8u", key->shader, variant_text(key->variant), spec, s->subgroup_size);
    print_number(s->registers);
    print_number(s->spills);
    print_number(s->scratch_bytes);
    print_number(s->shared_bytes);
    print_number(s->occupancy);
    print_number(s->instructions);
    print_number(s->cycles);
    print_number(s->latency);
    print_fraction(loop->share);
    print_fraction(cycles_per_multiply_add(s, loop));
    printf("  %s\n", user);
    (void)fflush(stdout); /* a compiler may crash in the next one */
}

static json_t *number(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

static json_t *row_json(const pm_pipeline_key *key, const pm_pipeline_statistics *s, const inner_loop *loop,
                        const char *user)
{
    json_t *spec = json_array(), *all = json_object();
    for (uint32_t i = 0; i < key->n_spec; i++) (void)json_array_append_new(spec, json_integer(key->spec[i]));
    for (uint32_t i = 0; i < s->count; i++)
        (void)json_object_set_new(all, s->all[i].name, json_real(s->all[i].value));
    return json_pack("{s:s, s:s, s:o, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "shader", key->shader, "variant", variant_text(key->variant), "constants", spec,
                     "first_used_by", user, "subgroup_size", (int)s->subgroup_size, "registers",
                     number(s->registers), "spills", number(s->spills), "scratch_bytes",
                     number(s->scratch_bytes), "shared_bytes", number(s->shared_bytes), "occupancy",
                     number(s->occupancy), "instructions", number(s->instructions), "code_bytes",
                     number(s->code_bytes), "cycles", number(s->cycles), "latency", number(s->latency),
                     "loop_share", number(loop->share), "cycles_per_multiply_add",
                     number(cycles_per_multiply_add(s, loop)), "statistics", all);
}

static void report_pipeline(compiling *c, const pm_pipeline_entry *entry, const char *user)
{
    pm_pipeline_statistics statistics;
    pm_error error;
    char dialect[64] = "", *listing = NULL;
    VkPipeline pipeline = entry->pipeline.pipeline;
    pm_status status = pm_pipeline_statistics_read(c->device, pipeline, &statistics, &error);
    if (status == PM_OK) status = pm_pipeline_assembly(c->device, pipeline, dialect, &listing, &error);
    if (status != PM_OK && !cli.json) printf("%s: %s\n", entry->key.shader, error.message);
    inner_loop loop = inner_loop_of(dialect, listing, statistics.subgroup_size);
    free(listing);
    c->spilled += statistics.spills > 0 || statistics.scratch_bytes > 0;
    if (!cli.json) print_row(&entry->key, &statistics, &loop, user);
    (void)json_array_append_new(c->pipelines, row_json(&entry->key, &statistics, &loop, user));
}

/* The pipelines that are new since the last call, and what could not be made. */
static void report(compiling *c, const char *user, pm_status status, const pm_error *why)
{
    for (; c->reported < c->device->n_pipelines; c->reported++)
        report_pipeline(c, &c->device->pipelines[c->reported], user);
    if (status == PM_OK) return;
    if (c->failed++ == 0) c->first = *why;
    if (!cli.json) printf("FAIL %s: %s\n", user, why->message);
    (void)json_array_append_new(c->failures, json_pack("{s:s, s:s}", "graph", user, "message", why->message));
}

/* ---- Operators ----------------------------------------------------------------------------------------- */

/* The operator, and the gradient of its output weighted by what nobody knows beforehand. */
static void build_case(pm_graph *graph, const pm_case *test)
{
    pm_tensor output = test->build(graph, test->p);
    if (!pm_ok(graph)) return;
    pm_output(graph, output);
    if (test->no_gradient || pm_dtype_of(graph, output) != PM_DTYPE_F32) return;
    pm_tensor weights = pm_state(graph, "compile.weights", PM_DTYPE_F32, pm_shape_of(graph, output));
    pm_tensor loss = pm_sum(graph, pm_mul(graph, output, weights));
    pm_output(graph, loss);
    pm_output(graph, pm_backward(graph, loss));
}

static void compile_case(compiling *c, const pm_op *op, const pm_case *test)
{
    pm_plan_options options = {.precision = cli_precision()};
    pm_plan *plan = NULL;
    pm_error error = {0};
    char user[200];
    pm_graph *graph = pm_graph_create();
    (void)snprintf(user, sizeof user, "%s: %s", op->name, test->name);
    pm_status status = graph ? PM_OK : pm_fail(&error, PM_NO_MEMORY, "check: out of host memory");
    if (graph) build_case(graph, test);
    if (status == PM_OK) status = pm_graph_status(graph, &error);
    if (status == PM_OK) status = pm_plan_create(c->device, graph, &options, &plan, &error);
    report(c, user, status, &error);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

/* Sizes worth timing come first, so that a pipeline is known by what is slow. */
static void compile_operators(compiling *c, const char *only)
{
    for (int bench = 1; bench >= 0; bench--) {
        for (const pm_op *const *op = pm_op_table; *op; op++) {
            if (only && strcmp(only, (*op)->name) != 0) continue;
            for (uint32_t i = 0; i < (*op)->n_cases && !cli_stopped(); i++) {
                if ((*op)->cases[i].bench == (bench != 0)) compile_case(c, *op, &(*op)->cases[i]);
            }
        }
    }
}

/* ---- Models -------------------------------------------------------------------------------------------- */

enum { PICTURES = 60000, SIDE = 28, CLASSES = 10, TOKENS = 4 << 20, VOCABULARY = 75 };

/* Data of the size that the shipped models learned from; what it holds does not matter. */
static pm_status train(pm_device *device, const char *name, pm_error *error)
{
    static uint8_t pixel;
    static uint32_t token;
    static const char *const names[CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    pm_plan_options options = {.precision = cli_precision()};
    pm_recipe recipe;
    pm_trainer *trainer = NULL;
    /* A device that only compiles reads none of it. */
    pm_dataset pictures = {PICTURES, SIDE, SIDE, 1, CLASSES, &pixel, &token, NULL};
    pm_training_data data = {.pictures = &pictures, .tokens = &token, .n_tokens = TOKENS};
    pm_status status = pm_recipe_load(name, &recipe, error);
    if (status != PM_OK) return status;
    status = pm_kind_is_text(recipe.kind) ? pm_recipe_fit_text(&recipe, VOCABULARY, error)
                                          : pm_recipe_fit(&recipe, SIDE, SIDE, 1, CLASSES, names, error);
    if (status == PM_OK) status = pm_trainer_create(device, &recipe, &data, &options, &trainer, error);
    pm_trainer_destroy(trainer);
    return status;
}

static pm_status sample_pictures(pm_device *device, const pm_model *model, pm_error *error)
{
    const pm_model_info info = pm_model_info_of(model);
    static const char *const samplers[] = {"ddim", "ddpm"}; /* without noise, and with it */
    pm_sample_options options = pm_sample_defaults();
    pm_status status = PM_OK;
    options.count = options.batch = 64;
    options.steps = 2;
    options.precision = cli_precision();
    uint8_t *pixels = calloc(options.count, (size_t)info.height * info.width * info.channels);
    if (!pixels) return pm_fail(error, PM_NO_MEMORY, "check: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < 2; i++) {
        options.sampler = samplers[i];
        status = pm_model_sample(device, model, &options, pixels, NULL, error);
    }
    free(pixels);
    return status;
}

static pm_status sample_text(pm_device *device, const pm_model *model, pm_error *error)
{
    bool masked = strcmp(pm_model_info_of(model).kind, "text-masked") == 0;
    const char *const *samplers = pm_text_sampler_names();
    pm_text_options options = pm_text_defaults();
    pm_status status = PM_OK;
    options.precision = cli_precision();
    options.length = 64;
    options.steps = 4;
    if (!masked) options.prompt = "In the beginning";
    for (; status == PM_OK && *samplers; samplers++) {
        pm_texts texts = {0};
        /* It takes as many steps as the device wants, which answers nothing. */
        if (masked && strcmp(*samplers, "threshold") == 0) continue;
        if (masked) options.sampler = *samplers;
        status = pm_model_generate(device, model, &options, &texts, error);
        pm_texts_free(&texts);
        if (!masked) break;
    }
    return status;
}

static pm_status sample(pm_device *device, const char *name, pm_error *error)
{
    pm_model *model = NULL;
    pm_status status = cli_open_model(name, &model, error);
    if (status != PM_OK) return status;
    status = pm_model_info_of(model).vocabulary ? sample_text(device, model, error)
                                                : sample_pictures(device, model, error);
    pm_model_close(model);
    return status;
}

static void compile_models(compiling *c)
{
    static const char *const models[] = {"fashion-small", "kjv-ar", "kjv-masked"};
    char user[64];
    for (uint32_t i = 0; i < sizeof models / sizeof models[0] && !cli_stopped(); i++) {
        pm_error error = {0};
        (void)snprintf(user, sizeof user, "train %s", models[i]);
        report(c, user, train(c->device, models[i], &error), &error);
        (void)snprintf(user, sizeof user, "sample %s", models[i]);
        report(c, user, sample(c->device, models[i], &error), &error);
    }
}

/* ---- All of it ----------------------------------------------------------------------------------------- */

static void finish(compiling *c)
{
    const pm_device_facts *facts = pm_device_facts_of(c->device);
    if (!cli.json) {
        printf("\n%u pipelines, %u with spills or private memory, %u graphs failed\n", c->reported,
               c->spilled, c->failed);
        if (!c->device->has_statistics) printf("this driver has no statistics\n");
    }
    cli_result(json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:b, s:o, s:o}", "device", facts->name,
                         "driver", facts->driver, "driver_info", facts->driver_info, "version", PM_VERSION,
                         "precision", cli.precision, "statistics", (int)c->device->has_statistics, "spilled",
                         (int)c->spilled, "failed", (int)c->failed, "stopped", (int)cli_stopped(), "failures",
                         c->failures, "pipelines", c->pipelines));
}

pm_status cli_check_compile(const char *op, pm_error *error)
{
    pm_device_options options = cli_device_options();
    compiling c = {0};
    options.compile_only = true;
    pm_status status = pm_device_open(&options, &c.device, error);
    if (status != PM_OK) return status;
    const pm_device_facts *facts = pm_device_facts_of(c.device);
    cli_catch_signals();
    if (!cli.json) {
        printf("pumice " PM_VERSION ", precision %s\ndevice: %s\ndriver: %s %s\n\n", cli.precision,
               facts->name, facts->driver, facts->driver_info);
        print_head();
    }
    c.pipelines = json_array();
    c.failures = json_array();
    compile_operators(&c, op);
    if (!op) compile_models(&c);
    finish(&c);
    pm_device_close(c.device);
    if (c.failed) return pm_fail_prefix(memcpy(error, &c.first, sizeof *error), PM_FAILED, "compiling");
    return cli_stopped() ? PM_FAILED : PM_OK;
}
