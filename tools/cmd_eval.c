/* `pumice eval`: how good a model's pictures are, by a classifier; how good a classifier is; how many bits a
 * model of text needs. */
#include "cli.h"
#include "commands.h"
#include "eval_text.h"
#include "sheet.h"

#include "recipes/recipe_fields.h"
#include "sampling/model.h"
#include "training/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *classifier, *data, *metric, *sampler;
    uint32_t n, steps, batch, draws, stride;
    cli_reals guidance;
    bool markdown;
} args;

static const char *const metrics[] = {"accuracy", "frechet", "all", NULL};

static const cli_option options[] = {
    {.name = "n",
     .letter = 'n',
     CLI_N(args.n, 2, 1000000),
     .fallback = "1000",
     .help = "how many pictures to draw, as many of each class"},
    {.name = "guidance",
     .letter = 'g',
     .type = CLI_REALS,
     .argument = "W,W,...",
     .value = &args.guidance,
     .low = 0,
     .high = 100,
     .help = "one line for each of these weights; default: the recipe's"},
    {.name = "metric",
     .type = CLI_CHOICE,
     .argument = "accuracy|frechet|all",
     .value = &args.metric,
     .choices = metrics,
     .fallback = "all",
     .help = "accuracy: how many pictures the classifier takes for what was asked; frechet: how far they are "
             "from real ones"},
    {.name = "classifier",
     .type = CLI_TEXT,
     .argument = "FILE",
     .value = &args.classifier,
     .fallback = "fashion-classifier",
     .environment = "PUMICE_CLASSIFIER",
     .help = "the judge: a model file, or the name of one that comes with Pumice"},
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "PATH",
     .value = &args.data,
     .environment = "PUMICE_DATA",
     .help =
         "the real pictures, default: those that the model was trained on; or a text, all of which is then "
         "scored, default: the part that was kept for validation"},
    {.name = "sampler",
     .type = CLI_CHOICE,
     .argument = "ddim|ddpm|ddpm-large",
     .value = &args.sampler,
     .choices = pm_recipe_samplers,
     .help = "default: the recipe's"},
    {.name = "steps", CLI_N(args.steps, 1, 1000000), .help = "of the sampler; default: the recipe's"},
    {.name = "batch", CLI_N(args.batch, 1, 65536), .help = "pictures, or windows of text, at a time"},
    {.name = "draws",
     CLI_N(args.draws, 2, 100000),
     .fallback = "8",
     .help = "of a masked text model: how often every window of the text is masked anew"},
    {.name = "stride",
     CLI_N(args.stride, 1, 1000000),
     .help = "of text from left to right: tokens by which windows advance; default: half of them"},
    {.name = "markdown", .type = CLI_FLAG, .value = &args.markdown, .help = "print the table as Markdown"},
};

/* Pictures as the classifier sees them. */
typedef struct judged {
    uint32_t count, width;
    uint32_t *classes; /* what it takes them for */
    float *features;   /* [count][width] */
} judged;

typedef struct evaluation {
    pm_device *device;
    pm_model *model, *classifier;
    pm_dataset *train, *test;
    judged real; /* the test split */
    double floor, ceiling;
    json_t *rows;
} evaluation;

static void judged_free(judged *j)
{
    free(j->classes);
    free(j->features);
}

static pm_status judge(const evaluation *e, const uint8_t *pixels, uint32_t count, judged *out,
                       pm_error *error)
{
    *out = (judged){.count = count, .classes = malloc(count * sizeof *out->classes)};
    if (!out->classes) return pm_fail(error, PM_NO_MEMORY, "eval: out of host memory");
    return pm_classify(e->device, e->classifier, pixels, count, out->classes, &out->features, &out->width,
                       error);
}

static double accuracy_of(const judged *j, const uint32_t *labels)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < j->count; i++) right += j->classes[i] == labels[i];
    return (double)right / j->count;
}

/* Half of the 95 % interval of a proportion. */
static double interval(double p, uint32_t n)
{
    return 1.96 * sqrt(p * (1 - p) / n);
}

static pm_status distance(const evaluation *e, const judged *j, double *out, pm_error *error)
{
    return pm_frechet_distance(j->features, j->count, e->real.features, e->real.count, j->width, out, error);
}

static bool wants(const char *metric)
{
    return strcmp(args.metric, "all") == 0 || strcmp(args.metric, metric) == 0;
}

/* ---- A classifier -------------------------------------------------------------------------------------- */

static pm_status evaluate_classifier(evaluation *e, pm_error *error)
{
    const pm_recipe *recipe = &e->model->recipe;
    const pm_model_info info = pm_model_info_of(e->model);
    char name[16];
    pm_status status = judge(e, e->test->pixels, e->test->count, &e->real, error);
    if (status != PM_OK) return status;
    double accuracy = accuracy_of(&e->real, e->test->labels);
    json_t *classes = json_array();
    for (uint32_t c = 0; c < recipe->data.classes; c++) {
        uint32_t right = 0, count = 0;
        for (uint32_t i = 0; i < e->test->count; i++) {
            count += e->test->labels[i] == c;
            right += e->test->labels[i] == c && e->real.classes[i] == c;
        }
        const char *text = cli_class_name(&info, c, name, sizeof name);
        double share = count ? (double)right / count : 0;
        if (!cli.json) printf("%-20s %6.2f %% of %" PRIu32 "\n", text, 100 * share, count);
        (void)json_array_append_new(
            classes, json_pack("{s:s, s:f, s:i}", "class", text, "accuracy", share, "count", (int)count));
    }
    if (!cli.json) {
        printf("test accuracy %.2f %% (95%% interval +- %.2f) of %" PRIu32 " pictures\n", 100 * accuracy,
               100 * interval(accuracy, e->test->count), e->test->count);
    }
    cli_result(json_pack("{s:s, s:f, s:i, s:o}", "model", info.name, "test_accuracy", accuracy, "count",
                         (int)e->test->count, "classes", classes));
    return PM_OK;
}

/* ---- A generator --------------------------------------------------------------------------------------- */

static bool on_progress(void *user, uint32_t done, uint32_t total)
{
    cli_progress *progress = user;
    progress->total = total;
    cli_progress_update(progress, done, NULL);
    return !cli_stopped();
}

static pm_status draw(const evaluation *e, double guidance, const uint32_t *labels, uint8_t *pixels,
                      double *seconds, pm_error *error)
{
    cli_progress progress;
    uint32_t made = 0;
    pm_sample_options o = pm_sample_defaults();
    o.count = args.n;
    o.labels = e->model->recipe.data.classes ? labels : NULL;
    o.sampler = args.sampler;
    o.steps = args.steps;
    o.batch = args.batch;
    o.guidance = (float)guidance;
    o.progress = on_progress;
    o.user = &progress;
    cli_resolve_sampling(e->model, &o);
    cli_progress_begin(&progress, "sampling", "steps", 0, 1);
    pm_status status = pm_model_sample(e->device, e->model, &o, pixels, &made, error);
    *seconds = cli_progress_seconds(&progress);
    cli_progress_end(&progress);
    if (status == PM_OK && (made < args.n || cli_stopped()))
        status = pm_fail(error, PM_FAILED, "stopped before the end");
    return status;
}

/* Columns are as wide on every line; a value that was not wanted, or has no meaning, is a dash. */
static void print_row(const char *what, double accuracy, double half, double frechet)
{
    char a[40] = "-", f[40] = "-";
    if (!isnan(accuracy)) (void)snprintf(a, sizeof a, "%.1f %% +- %.1f", 100 * accuracy, 100 * half);
    if (!isnan(frechet)) (void)snprintf(f, sizeof f, "%.3f", frechet);
    if (!cli.json)
        printf(args.markdown ? "| %-28s | %-15s | %-8s |\n" : "%-28s   %-15s   %-8s\n", what, a, f);
    (void)fflush(stdout);
}

static void print_head(void)
{
    if (cli.json) return;
    if (args.markdown) {
        printf("| pictures | accuracy | Frechet distance |\n|---|---|---|\n");
    } else {
        printf("%-28s   %-15s   %-8s\n", "pictures", "accuracy", "Frechet distance");
    }
}

static pm_status evaluate_guidance(evaluation *e, double guidance, uint32_t *labels, uint8_t *pixels,
                                   pm_error *error)
{
    double accuracy = (double)NAN, frechet = (double)NAN, seconds;
    uint32_t classes = e->model->recipe.data.classes;
    char what[64];
    judged drawn = {0};
    for (uint32_t i = 0; i < args.n; i++) labels[i] = classes ? i % classes : 0;
    pm_status status = draw(e, guidance, labels, pixels, &seconds, error);
    if (status == PM_OK) status = judge(e, pixels, args.n, &drawn, error);
    if (status == PM_OK && classes && wants("accuracy")) accuracy = accuracy_of(&drawn, labels);
    if (status == PM_OK && wants("frechet")) status = distance(e, &drawn, &frechet, error);
    judged_free(&drawn);
    if (status != PM_OK) return status;
    double half = isnan(accuracy) ? (double)NAN : interval(accuracy, args.n);
    (void)snprintf(what, sizeof what, "drawn, guidance %g", guidance);
    print_row(what, accuracy, half, frechet);
    (void)json_array_append_new(e->rows,
                                json_pack("{s:f, s:o, s:o, s:o, s:f}", "guidance", guidance, "accuracy",
                                          cli_real(accuracy), "accuracy_half_interval", cli_real(half),
                                          "frechet", cli_real(frechet), "seconds", seconds));
    return PM_OK;
}

/* As many real training pictures as are drawn, as evenly over the classes as there are any: what a perfect
 * model would get. */
static pm_status evaluate_floor(evaluation *e, uint8_t *pixels, pm_error *error)
{
    size_t bytes = (size_t)e->train->height * e->train->width * e->train->channels;
    uint32_t taken = 0, n = args.n < e->train->count ? args.n : e->train->count;
    uint32_t *next = calloc(e->train->classes, sizeof *next);
    judged sample = {0};
    if (!next) return pm_fail(error, PM_NO_MEMORY, "eval: out of host memory");
    for (uint32_t turn = 0; taken < n; turn++) {
        uint32_t class = turn % e->train->classes, i = next[class];
        while (i < e->train->count && e->train->labels[i] != class) i++;
        next[class] = i + 1;
        if (i < e->train->count) memcpy(pixels + bytes * taken++, e->train->pixels + bytes * i, bytes);
    }
    free(next);
    pm_status status = judge(e, pixels, n, &sample, error);
    if (status == PM_OK) status = distance(e, &sample, &e->floor, error);
    judged_free(&sample);
    return status;
}

static pm_status check_fit(const evaluation *e, pm_error *error)
{
    const pm_recipe *m = &e->model->recipe, *c = &e->classifier->recipe;
    if (c->kind != PM_KIND_IMAGE_CLASSIFIER) {
        return pm_fail(error, PM_BAD_USAGE,
                       "%s is no classifier; --classifier takes one that `pumice train` made", c->name);
    }
    bool fits = m->data.height == c->data.height && m->data.width == c->data.width &&
                m->data.channels == c->data.channels &&
                (m->data.classes == 0 || m->data.classes == c->data.classes);
    if (!fits) {
        return pm_fail(error, PM_BAD_FILE,
                       "%s judges %ux%ux%u pictures of %u classes, but %s draws %ux%ux%u of %u", c->name,
                       c->data.width, c->data.height, c->data.channels, c->data.classes, m->name,
                       m->data.width, m->data.height, m->data.channels, m->data.classes);
    }
    return PM_OK;
}

static pm_status evaluate_generator(evaluation *e, pm_error *error)
{
    size_t bytes = (size_t)e->test->height * e->test->width * e->test->channels;
    uint8_t *pixels = calloc(args.n, bytes);
    uint32_t *labels = calloc(args.n, sizeof *labels);
    e->floor = (double)NAN;
    e->rows = json_array();
    pm_status status =
        pixels && labels ? PM_OK : pm_fail(error, PM_NO_MEMORY, "eval: no memory for %u pictures", args.n);
    if (status == PM_OK) status = judge(e, e->test->pixels, e->test->count, &e->real, error);
    if (status == PM_OK) e->ceiling = accuracy_of(&e->real, e->test->labels);
    if (status == PM_OK && wants("frechet")) status = evaluate_floor(e, pixels, error);
    if (status == PM_OK) {
        if (args.guidance.count == 0) {
            args.guidance.items[args.guidance.count++] =
                e->model->recipe.data.classes ? (double)e->model->recipe.sampling.guidance : 1.0;
        }
        print_head();
        print_row("real, the test split", wants("accuracy") ? e->ceiling : (double)NAN,
                  interval(e->ceiling, e->test->count), (double)NAN);
        if (wants("frechet")) print_row("real, the training split", (double)NAN, 0, e->floor);
    }
    for (uint32_t i = 0; status == PM_OK && i < args.guidance.count; i++) {
        status = evaluate_guidance(e, args.guidance.items[i], labels, pixels, error);
    }
    free(pixels);
    free(labels);
    if (status == PM_OK) {
        cli_result(json_pack("{s:s, s:s, s:i, s:i, s:f, s:o, s:O}", "model", e->model->recipe.name,
                             "classifier", e->classifier->recipe.name, "n", (int)args.n, "real",
                             (int)e->test->count, "ceiling_accuracy", e->ceiling, "floor_frechet",
                             cli_real(e->floor), "rows", e->rows));
    }
    return status;
}

/* ---- The verb ------------------------------------------------------------------------------------------ */

static pm_status check_data(const evaluation *e, pm_error *error)
{
    const pm_recipe *m = &e->model->recipe;
    const pm_dataset *d = e->test;
    if (d->height == m->data.height && d->width == m->data.width && d->channels == m->data.channels &&
        (m->data.classes == 0 || m->data.classes == d->classes)) {
        return PM_OK;
    }
    return pm_fail(error, PM_BAD_FILE,
                   "the data has %ux%ux%u pictures of %u classes, but %s is for %ux%ux%u of %u", d->width,
                   d->height, d->channels, d->classes, m->name, m->data.width, m->data.height,
                   m->data.channels, m->data.classes);
}

static pm_status evaluate_text(pm_model *model, pm_error *error)
{
    pm_device *device = NULL;
    cli_eval_text_args text = {
        .data = args.data,
        .markdown = args.markdown,
        .score = {.batch = args.batch,
                  .stride = args.stride,
                  .draws = args.draws,
                  .seed = cli.seed,
                  .precision = cli_precision()},
    };
    pm_status status = cli_open_device(&device, error);
    cli_catch_signals();
    if (status == PM_OK) status = cli_eval_text(device, model, &text, error);
    pm_device_close(device);
    pm_model_close(model);
    return status;
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    evaluation e = {0};
    (void)count;
    pm_status status = cli_open_model(arguments[0], &e.model, error);
    if (status == PM_OK && pm_kind_is_text(e.model->recipe.kind)) return evaluate_text(e.model, error);
    bool generator = status == PM_OK && e.model->recipe.kind == PM_KIND_IMAGE_DIFFUSION;
    if (generator) status = cli_open_model(args.classifier, &e.classifier, error);
    if (status == PM_OK && generator) status = check_fit(&e, error);
    if (status == PM_OK) status = cli_open_data(&e.model->recipe, args.data, PM_SPLIT_TEST, &e.test, error);
    if (status == PM_OK) status = check_data(&e, error);
    if (generator && status == PM_OK && wants("frechet")) {
        status = cli_open_data(&e.model->recipe, args.data, PM_SPLIT_TRAIN, &e.train, error);
    }
    if (status == PM_OK) status = cli_open_device(&e.device, error);
    cli_catch_signals();
    if (!generator) e.classifier = e.model;
    if (status == PM_OK) status = generator ? evaluate_generator(&e, error) : evaluate_classifier(&e, error);
    judged_free(&e.real);
    json_decref(e.rows);
    pm_device_close(e.device);
    pm_dataset_close(e.train);
    pm_dataset_close(e.test);
    if (generator) pm_model_close(e.classifier);
    pm_model_close(e.model);
    return status;
}

const cli_verb cli_eval = {
    .name = "eval",
    .summary = "measure how good a model is: pictures by a classifier, text in bits a character",
    .arguments = "MODEL",
    .least = 1,
    .most = 1,
    .about = "Draws N pictures and asks a classifier: are they what was asked for (accuracy), and\n"
             "are they distributed like real ones (Frechet distance of its features; less is\n"
             "better)? Beside that stand the same numbers of real pictures, as the best to expect.\n"
             "The features are this project's own: distances of other papers do not compare.\n"
             "A model of text is scored in bits a character of text it has not seen: exactly when\n"
             "it goes from left to right, as a bound with an interval of 95 % when it is masked;\n"
             "beside that stands what gzip, bzip2 and xz need for the same bytes.\n",
    .examples =
        "  pumice eval fashion-small --guidance 1,2,3,5\n      what guidance buys, and what it costs\n"
        "  pumice eval fashion-classifier\n      the judge itself\n"
        "  pumice eval kjv-masked --draws 16\n      bits a character, with a narrow interval\n",
    CLI_OPTIONS(options),
    .run = run,
};
