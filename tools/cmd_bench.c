/* `pumice bench`: how fast one operator, all of them, a training step or sampling runs on this device. */
#include "bench_plan.h"
#include "cli.h"
#include "commands.h"
#include "sheet.h"
#include "source.h"

#include "base/words.h"
#include "ops/table.h"
#include "sampling/model.h"
#include "training/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Steps of sampling that do not count: in the first the plan measures itself, in the next the queue fills. */
enum { WARM_UP_STEPS = 6 };

static struct {
    const char *data, *layout;
    uint32_t samples, batch, steps;
    bool backward;
} args;

/* In the order of pm_layout. */
static const char *const layouts[] = {"AB", "ABT", "ATB", NULL};

static const cli_option options[] = {
    {.name = "repeats",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &args.samples,
     .low = 1,
     .high = CLI_MOST_SAMPLES,
     .fallback = "7",
     .help = "measurements, of which the median counts; least and most are printed beside it"},
    {.name = "backward",
     .type = CLI_FLAG,
     .value = &args.backward,
     .help = "of matmul, conv and attention: forward together with the gradient of every input"},
    {.name = "layout",
     .type = CLI_CHOICE,
     .argument = "LAYOUT",
     .value = &args.layout,
     .choices = layouts,
     .fallback = "AB",
     .help = "of matmul: which operand lies transposed in memory: none, B or A"},
    {.name = "batch",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &args.batch,
     .low = 1,
     .high = 65536,
     .help = "of train and sample; default: the recipe's, and 64"},
    {.name = "steps",
     .type = CLI_COUNT,
     .argument = "N",
     .value = &args.steps,
     .low = WARM_UP_STEPS + 2,
     .high = 1000,
     .fallback = "20",
     .help = "of sample: steps that are run, of which the first six do not count"},
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "PATH",
     .value = &args.data,
     .environment = "PUMICE_DATA",
     .help = "of train: the pictures; default: the recipe's"},
};

/* ---- One operator -------------------------------------------------------------------------------------- */

enum { MOST_NUMBERS = 8 };

typedef struct shape_bench {
    const char *name, *usage;
    uint32_t least, most; /* numbers */
    pm_tensor (*build)(pm_graph *graph, const uint32_t *n);
    uint32_t n[MOST_NUMBERS];
} shape_bench;

static pm_tensor leaf(pm_graph *graph, const char *name, pm_shape shape)
{
    return pm_param(graph, name, shape, (pm_init){PM_INIT_UNIFORM, 1});
}

static pm_layout chosen_layout(void)
{
    uint32_t layout = PM_AB;
    while (strcmp(args.layout, layouts[layout]) != 0) layout++;
    return (pm_layout)layout;
}

static pm_tensor build_matmul(pm_graph *graph, const uint32_t *n)
{
    pm_layout layout = chosen_layout();
    pm_shape a = layout == PM_ATB ? PM_SHAPE(n[2], n[0]) : PM_SHAPE(n[0], n[2]);
    pm_shape b = layout == PM_ABT ? PM_SHAPE(n[1], n[2]) : PM_SHAPE(n[2], n[1]);
    return pm_matmul(graph, leaf(graph, "a", a), leaf(graph, "b", b), layout, PM_NONE, PM_NONE);
}

static pm_tensor build_conv(pm_graph *graph, const uint32_t *n)
{
    uint32_t kernel = n[5] ? n[5] : 3, pad = kernel / 2;
    pm_tensor x = leaf(graph, "x", PM_SHAPE(n[0], n[1], n[2], n[3]));
    pm_tensor weight = leaf(graph, "weight", PM_SHAPE(kernel, kernel, n[3], n[4]));
    pm_conv2d_args conv = {
        .stride = n[6], .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
    return pm_conv2d(graph, x, weight, conv);
}

static pm_tensor build_attention(pm_graph *graph, const uint32_t *n)
{
    pm_shape shape = PM_SHAPE(n[0], n[1], n[2] * n[3]);
    return pm_attention(graph, leaf(graph, "q", shape), leaf(graph, "k", shape), leaf(graph, "v", shape),
                        (pm_attention_args){.heads = n[2]});
}

static const shape_bench shape_benches[] = {
    {"matmul", "M N K", 3, 3, build_matmul, {0}},
    {"conv", "BATCH HEIGHT WIDTH IN OUT [KERNEL [STRIDE]]", 5, 7, build_conv, {0}},
    {"attention", "BATCH LENGTH HEADS WIDTH", 4, 4, build_attention, {0}},
};

static void build_shape(pm_graph *graph, const void *user)
{
    const shape_bench *bench = user;
    pm_tensor y = bench->build(graph, bench->n);
    pm_output(graph, y);
    if (args.backward) pm_output(graph, pm_backward(graph, pm_sum(graph, y)));
}

static pm_status run_shape(const shape_bench *kind, pm_device *device, uint32_t count,
                           const char *const *numbers, json_t *list, pm_error *error)
{
    shape_bench bench = *kind;
    cli_timing timing;
    char name[128];
    bool layout = bench.build == build_matmul && chosen_layout() != PM_AB;
    int used = snprintf(name, sizeof name, "%s%s%s%s", bench.name, layout ? " " : "",
                        layout ? args.layout : "", args.backward ? " and gradient" : "");
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value;
        if (!cli_parse_natural(numbers[i], &value) || value < 1 || value > 1u << 24) {
            return pm_fail(error, PM_BAD_USAGE,
                           "bench %s takes %s: whole numbers from 1 to 16777216, not \"%.40s\"", bench.name,
                           bench.usage, numbers[i]);
        }
        bench.n[i] = (uint32_t)value;
        used += snprintf(name + used, sizeof name - (size_t)used, " %" PRIu64, value);
    }
    pm_status status = cli_time_graph(device, build_shape, &bench, args.samples, &timing, error);
    if (status == PM_OK) cli_timing_print(name, &timing, NULL, list);
    return status;
}

/* ---- All operators ------------------------------------------------------------------------------------- */

static void build_case(pm_graph *graph, const void *user)
{
    const pm_case *test = user;
    pm_output(graph, test->build(graph, test->p));
}

static void build_case_and_gradient(pm_graph *graph, const void *user)
{
    const pm_case *test = user;
    pm_tensor loss = pm_sum(graph, test->build(graph, test->p));
    pm_output(graph, loss); /* so that the forward pass is not left out */
    (void)pm_backward(graph, loss);
}

/* One row: alone, and with its gradient (of the sum of its output). */
static pm_status run_case(pm_device *device, const pm_op *op, const pm_case *test, const cli_rates *rates,
                          json_t *list, pm_error *error)
{
    char name[128];
    cli_timing timing;
    (void)snprintf(name, sizeof name, "%s (%s)", op->name, test->name);
    pm_status status = cli_time_graph(device, build_case, test, args.samples, &timing, error);
    if (status == PM_OK) cli_timing_print(name, &timing, rates, list);
    if (status != PM_OK || test->no_gradient) return status;
    (void)snprintf(name, sizeof name, "%s (%s), with gradient", op->name, test->name);
    status = cli_time_graph(device, build_case_and_gradient, test, args.samples, &timing, error);
    if (status == PM_OK) cli_timing_print(name, &timing, rates, list);
    return status;
}

static bool begins(const char *name, const char *begin)
{
    return strncmp(name, begin, strlen(begin)) == 0;
}

static bool has_row(const pm_op *op)
{
    bool has = false;
    for (uint32_t i = 0; i < op->n_cases; i++) has |= op->cases[i].bench;
    return has;
}

/* The bench rows of all operators whose name begins so. */
static pm_status run_ops(pm_device *device, const char *begin, json_t *list, pm_error *error)
{
    cli_rates rates;
    pm_status status = cli_measure_rates(device, args.samples, &rates, list, error);
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        if (!begins((*op)->name, begin)) continue;
        for (uint32_t i = 0; status == PM_OK && i < (*op)->n_cases && !cli_stopped(); i++) {
            const pm_case *test = &(*op)->cases[i];
            if (test->bench) status = run_case(device, *op, test, &rates, list, error);
        }
    }
    return status;
}

/* PM_BAD_USAGE unless some operator with a row begins so: gradients are timed with the operator they are of.
 */
static pm_status check_op(const char *begin, pm_error *error)
{
    pm_nearest nearest = {.word = begin};
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        if (!has_row(*op)) continue;
        if (begins((*op)->name, begin)) return PM_OK;
        pm_nearest_try(&nearest, (*op)->name);
    }
    return pm_fail(error, PM_BAD_USAGE,
                   "no operator that is timed by itself begins with \"%.60s\"; did you mean %s?", begin,
                   nearest.best);
}

/* ---- Training and sampling ----------------------------------------------------------------------------- */

/* `timing` is of one step, and `units` is how many images or tokens it finishes (a part of one, when it takes
 * many steps). */
static pm_status report_model(const char *what, pm_device *device, const cli_timing *timing, const char *unit,
                              double units, json_t *list, pm_error *error)
{
    cli_timing matmul;
    pm_status status = cli_time_matmul_1024(device, args.samples, &matmul, error);
    if (status != PM_OK) return status;
    double rate = timing->flops / timing->median, best = matmul.flops / matmul.median;
    cli_timing_print(what, timing, NULL, list);
    cli_timing_print("matmul 1024 1024 1024", &matmul, NULL, list);
    char key[32];
    (void)snprintf(key, sizeof key, "%s_per_second", unit);
    (void)json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:f}", "name", "summary", key,
                                                units / timing->median, "gflop_per_step",
                                                timing->flops * 1e-9, "of_matmul_rate", rate / best));
    if (!cli.json) {
        printf("%.3g ms a step (%.4g .. %.4g), %.4g %s/s, %.3g GFLOP a step, %.0f %% of this device's "
               "matmul rate\n",
               1e3 * timing->median, 1e3 * timing->least, 1e3 * timing->most, units / timing->median, unit,
               timing->flops * 1e-9, 100 * rate / best);
    }
    return PM_OK;
}

static pm_status run_train(const char *name, pm_device *device, json_t *list, pm_error *error)
{
    pm_recipe recipe;
    cli_source source = {0};
    pm_trainer *trainer = NULL;
    cli_timing timing;
    char what[128];
    pm_plan_options plan_options = {.precision = cli_precision()};
    pm_status status = pm_recipe_load(name, &recipe, error);
    if (status != PM_OK) return status;
    if (args.batch) recipe.training.batch = args.batch;
    if (args.data) (void)snprintf(recipe.data.source, sizeof recipe.data.source, "%s", args.data);
    status = cli_source_open(&recipe, &source, error);
    if (status == PM_OK)
        status = cli_create_trainer(device, &recipe, &source, &plan_options, &trainer, error);
    if (status == PM_OK) status = cli_time_plan(pm_trainer_plan(trainer), args.samples, &timing, error);
    pm_trainer_destroy(trainer);
    cli_source_close(&source);
    if (status != PM_OK) return status;
    (void)snprintf(what, sizeof what, "train %s, batch %" PRIu32, recipe.name, recipe.training.batch);
    return report_model(what, device, &timing, cli_unit(&recipe), cli_units_of_step(&recipe), list, error);
}

typedef struct step_times {
    double last, seconds[CLI_MOST_SAMPLES];
    uint32_t calls, count;
} step_times;

/* A call comes when all but the last few submits are done, so that the time between two is that of a step. */
static bool on_step(void *user, uint32_t done, uint32_t total)
{
    step_times *times = user;
    double now = cli_seconds();
    (void)done;
    (void)total;
    if (times->calls++ >= WARM_UP_STEPS && times->count < CLI_MOST_SAMPLES)
        times->seconds[times->count++] = now - times->last;
    times->last = now;
    return !cli_stopped();
}

typedef struct forward {
    const pm_recipe *recipe;
    uint32_t rows;
} forward;

static void build_forward(pm_graph *graph, const void *user)
{
    const forward *f = user;
    const pm_unet_config *net = &f->recipe->unet;
    pm_tensor x =
        pm_state(graph, "x", PM_DTYPE_F32, PM_SHAPE(f->rows, net->height, net->width, net->channels));
    pm_tensor t = pm_state(graph, "t", PM_DTYPE_U32, PM_SHAPE(f->rows));
    pm_tensor label = net->classes ? pm_state(graph, "label", PM_DTYPE_U32, PM_SHAPE(f->rows)) : PM_NONE;
    pm_output(graph, pm_unet(graph, net, x, t, label, PM_NONE));
}

/* The network's pass makes up nearly all of a step: its operations are counted by planning it alone. */
static pm_status count_flops(pm_device *device, const forward *f, double *flops, pm_error *error)
{
    pm_plan *plan = NULL;
    pm_graph *graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    build_forward(graph, f);
    pm_status status = pm_graph_status(graph, error);
    if (status == PM_OK) status = pm_plan_create(device, graph, NULL, &plan, error);
    if (status == PM_OK) *flops = pm_plan_stats_of(plan).flops;
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    return status;
}

static void report_tokens(const char *what, uint32_t tokens, double seconds, json_t *list)
{
    double rate = seconds > 0 ? tokens / seconds : 0;
    if (!cli.json) printf("%-58s %.4g tokens/s (%u in %.3g s)\n", what, rate, tokens, seconds);
    (void)json_array_append_new(list, json_pack("{s:s, s:i, s:f, s:f}", "name", what, "tokens", (int)tokens,
                                                "seconds", seconds, "tokens_per_second", rate));
}

/* Half the context as a prompt, and the rest of it drawn; the second of two runs, when pipelines are made.
 * The text is the model's own. */
static pm_status time_text(pm_device *device, const pm_model *model, pm_text_options *o, pm_texts *texts,
                           pm_error *error)
{
    pm_texts warm = {0};
    pm_status status = pm_model_generate(device, model, o, &warm, error);
    if (status == PM_OK && o->n_stop == 0) {
        char *prompt = warm.texts[0];
        pm_text_options second = *o;
        if (strcmp(pm_model_info_of(model).kind, "text-autoregressive") == 0) second.prompt = prompt;
        pm_texts ignored = {0};
        status = pm_model_generate(device, model, &second, &ignored, error);
        pm_texts_free(&ignored);
        if (status == PM_OK) status = pm_model_generate(device, model, &second, texts, error);
    }
    pm_texts_free(&warm);
    return status;
}

static pm_status bench_causal(pm_device *device, const pm_model *model, json_t *list, pm_error *error)
{
    const pm_model_info info = pm_model_info_of(model);
    pm_texts texts = {0};
    char what[128];
    pm_text_options o = pm_text_defaults();
    o.precision = cli_precision();
    o.count = args.batch ? args.batch : 1;
    o.length = info.context / 2 > 1 ? info.context / 2 - 1 : 1;
    pm_status status = time_text(device, model, &o, &texts, error);
    if (status == PM_OK) {
        (void)snprintf(what, sizeof what, "sample %s, prompt, batch %u", info.name, o.count);
        report_tokens(what, texts.prompt_tokens, texts.prompt_seconds, list);
        (void)snprintf(what, sizeof what, "sample %s, decode, batch %u", info.name, o.count);
        report_tokens(what, texts.tokens, texts.seconds, list);
    }
    pm_texts_free(&texts);
    return status;
}

/* With few steps and with many: what a pass costs is the same, how many tokens it reveals is not. */
static pm_status bench_masked(pm_device *device, const pm_model *model, json_t *list, pm_error *error)
{
    static const uint32_t tokens_a_step[] = {1, 4, 16};
    const pm_model_info info = pm_model_info_of(model);
    pm_status status = PM_OK;
    char what[128];
    for (uint32_t i = 0; status == PM_OK && i < 3; i++) {
        pm_texts texts = {0};
        pm_text_options o = pm_text_defaults();
        o.precision = cli_precision();
        o.count = args.batch ? args.batch : 1;
        o.steps = (info.context + tokens_a_step[i] - 1) / tokens_a_step[i];
        status = time_text(device, model, &o, &texts, error);
        (void)snprintf(what, sizeof what, "sample %s, batch %u, %u passes, %.3g tokens a pass", info.name,
                       o.count, texts.passes, texts.passes ? (double)texts.tokens / texts.passes : 0.0);
        if (status == PM_OK) report_tokens(what, texts.tokens, texts.seconds, list);
        pm_texts_free(&texts);
    }
    return status;
}

static pm_status run_sample_pictures(const pm_model *model, pm_device *device, json_t *list, pm_error *error)
{
    step_times times = {0};
    cli_timing timing = {0};
    char what[128];
    pm_status status = PM_OK;
    pm_sample_options o = pm_sample_defaults();
    const pm_model_info info = pm_model_info_of(model);
    o.count = o.batch = args.batch ? args.batch : 64;
    cli_resolve_sampling(model, &o);
    uint32_t recipe_steps = o.steps;
    o.steps = args.steps < model->recipe.process.timesteps ? args.steps : model->recipe.process.timesteps;
    o.progress = on_step;
    o.user = &times;
    uint8_t *pixels = calloc((size_t)o.count * info.height * info.width, info.channels);
    bool doubled = o.guidance != 1.0f && o.guidance != 0.0f;
    forward f = {.recipe = &model->recipe, .rows = doubled ? 2 * o.count : o.count};
    if (!pixels) status = pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    if (status == PM_OK) status = pm_model_sample(device, model, &o, pixels, NULL, error);
    if (status == PM_OK && times.count == 0)
        status = pm_fail(error, PM_FAILED, "stopped before anything was measured");
    if (status == PM_OK) cli_timing_from(&timing, times.seconds, times.count);
    if (status == PM_OK) status = count_flops(device, &f, &timing.flops, error);
    (void)snprintf(what, sizeof what, "sample %s, batch %" PRIu32 "%s", info.name, o.count,
                   doubled ? " with guidance" : "");
    if (status == PM_OK)
        status = report_model(what, device, &timing, "images", (double)o.count / recipe_steps, list, error);
    free(pixels);
    return status;
}

static pm_status run_sample(const char *name, pm_device *device, json_t *list, pm_error *error)
{
    pm_model *model = NULL;
    pm_status status = cli_open_model(name, &model, error);
    if (status != PM_OK) return status;
    switch (model->recipe.kind) {
    case PM_KIND_TEXT_AUTOREGRESSIVE:
        status = bench_causal(device, model, list, error);
        break;
    case PM_KIND_TEXT_MASKED:
        status = bench_masked(device, model, list, error);
        break;
    default:
        status = run_sample_pictures(model, device, list, error);
    }
    pm_model_close(model);
    return status;
}

/* ---- The verb ------------------------------------------------------------------------------------------ */

static const char *const subjects[] = {"matmul", "conv", "attention", "ops", "train", "sample", NULL};

static const char *const *subject_names(void)
{
    return subjects;
}

static pm_status wrong_count(const char *subject, const char *usage, pm_error *error)
{
    return pm_fail(error, PM_BAD_USAGE, "pumice bench %s takes %s", subject, usage);
}

static pm_status measure(pm_device *device, uint32_t count, const char *const *words, json_t *list,
                         pm_error *error)
{
    if (strcmp(words[0], "ops") == 0) return run_ops(device, count > 1 ? words[1] : "", list, error);
    if (strcmp(words[0], "train") == 0) return run_train(words[1], device, list, error);
    if (strcmp(words[0], "sample") == 0) return run_sample(words[1], device, list, error);
    for (size_t i = 0; i < sizeof shape_benches / sizeof shape_benches[0]; i++) {
        if (strcmp(shape_benches[i].name, words[0]) == 0) {
            return run_shape(&shape_benches[i], device, count - 1, words + 1, list, error);
        }
    }
    return PM_BAD_USAGE;
}

static pm_status check_subject(uint32_t count, const char *const *words, pm_error *error)
{
    pm_nearest nearest = {.word = words[0]};
    for (const char *const *subject = subjects; *subject; subject++) pm_nearest_try(&nearest, *subject);
    if (nearest.distance > 0) {
        return pm_fail(error, PM_BAD_USAGE, "nothing to bench called \"%.40s\"; did you mean %s?", words[0],
                       nearest.best);
    }
    for (size_t i = 0; i < sizeof shape_benches / sizeof shape_benches[0]; i++) {
        const shape_bench *bench = &shape_benches[i];
        bool fits = count - 1 >= bench->least && count - 1 <= bench->most;
        if (strcmp(bench->name, words[0]) == 0 && !fits) return wrong_count(bench->name, bench->usage, error);
    }
    if (strcmp(words[0], "ops") == 0 && count > 2) return wrong_count("ops", "[NAME]", error);
    if (strcmp(words[0], "ops") == 0 && count == 2) return check_op(words[1], error);
    if (strcmp(words[0], "train") == 0 && count != 2) return wrong_count("train", "RECIPE", error);
    if (strcmp(words[0], "sample") == 0 && count != 2) return wrong_count("sample", "MODEL", error);
    return PM_OK;
}

static pm_status run(uint32_t count, const char *const *words, pm_error *error)
{
    pm_device *device = NULL;
    pm_status status = check_subject(count, words, error);
    if (status == PM_OK) status = cli_open_device(&device, error);
    if (status != PM_OK) return status;
    cli_catch_signals();
    json_t *list = json_array();
    status = measure(device, count, words, list, error);
    if (status == PM_OK) {
        cli_result(json_pack("{s:s, s:s, s:s, s:O}", "device", pm_device_facts_of(device)->name, "driver",
                             pm_device_facts_of(device)->driver_info, "precision", cli.precision, "results",
                             list));
    }
    json_decref(list);
    pm_device_close(device);
    return status;
}

const cli_verb cli_bench = {
    .name = "bench",
    .summary = "measure how fast an operator, a training step or sampling runs on this device",
    .arguments = "SUBJECT ...",
    .least = 1,
    .most = 1 + MOST_NUMBERS,
    .about =
        "SUBJECT is one of\n"
        "  matmul M N K                                     [M,K] times [K,N]\n"
        "  conv BATCH HEIGHT WIDTH IN OUT [KERNEL [STRIDE]]  kernel 3 and stride 1 if not said\n"
        "  attention BATCH LENGTH HEADS WIDTH               WIDTH channels a head\n"
        "  ops [NAME]                                       every operator, or those that begin so\n"
        "  train RECIPE                                     a whole training step\n"
        "  sample MODEL                                     a step of sampling; of text, tokens a second\n"
        "train and sample also measure a matmul of 1024 x 1024 and say which share of its rate\n"
        "they reach; ops also measures a copy. Shares can be compared between devices.\n",
    .examples = "  pumice bench matmul 1024 1024 1024 --precision f32\n      the rate of this device\n"
                "  pumice bench train fashion-small\n      how long training would take\n",
    CLI_OPTIONS(options),
    .words = subject_names,
    .run = run,
};
