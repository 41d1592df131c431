/* `pumice sample`: pictures or text from a model file. */
#include "cli.h"
#include "commands.h"
#include "cpu_driver.h"
#include "sample_text.h"
#include "sheet.h"

#include "base/checked.h"
#include "base/words.h"
#include "recipes/recipe_fields.h"
#include "sampling/masked_methods.h"
#include "sampling/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_PICTURES = 1000000, MOST_CLASSES = 64 };

static struct {
    const char *class, *sampler, *spacing, *output;
    uint32_t count, steps, batch, preview, columns, scale;
    uint64_t first;
    double guidance, eta;
    bool labels, count_given, class_given, spacing_given, eta_given;
    /* of text */
    const char *prompt, *suffix, *infill;
    cli_texts stop;
    uint32_t length, top_k, block;
    double temperature, top_p, min_p, repetition, position_temperature, threshold;
    bool show, final_argmax;
} args = {.guidance = (double)NAN,
          .eta = -1.0,
          .top_k = UINT32_MAX,
          .block = UINT32_MAX,
          .temperature = (double)NAN,
          .top_p = (double)NAN,
          .min_p = (double)NAN,
          .repetition = (double)NAN,
          .position_temperature = (double)NAN,
          .threshold = (double)NAN};

#define CLI_R(target, from, to) .type = CLI_REAL, .argument = "R", .value = &(target), .low = from, .high = to

/* Of pictures and of masked text. */
static const char *const samplers[] = {PM_PICTURE_SAMPLERS, PM_MASKED_METHODS(PM_METHOD_NAME) NULL};

static const cli_option options[] = {
    {.name = "count",
     .letter = 'n',
     CLI_N(args.count, 1, MOST_PICTURES),
     .given = &args.count_given,
     .help = "how many; default: 20 pictures, or one text"},
    {.name = "class",
     .letter = 'c',
     .type = CLI_TEXT,
     .argument = "C",
     .value = &args.class,
     .fallback = "each",
     .help =
         "of what: a class by name or number, several with commas between them, each (all in turn), or none"},
    {.name = "guidance",
     .letter = 'g',
     .type = CLI_REAL,
     .argument = "W",
     .value = &args.guidance,
     .low = 0,
     .high = 100,
     .help = "weight of the class, or of what is given of a text: 1 is the model alone, more is clearer and "
             "less varied; default: the recipe's, and 1 for text"},
    {.name = "sampler",
     .type = CLI_CHOICE,
     .argument = "NAME",
     .value = &args.sampler,
     .choices = samplers,
     .help = "of pictures: ddim (needs few steps), ddpm or ddpm-large; of masked text: " PM_MASKED_METHODS(
         PM_METHOD_LISTED) "which `pumice systems` explains; default: the recipe's"},
    {.name = "steps",
     CLI_N(args.steps, 1, 1000000),
     .help = "more are better and slower; default: the recipe's"},
    {.name = "eta",
     .type = CLI_REAL,
     .argument = "E",
     .value = &args.eta,
     .low = 0,
     .high = 1,
     .help = "of ddim: 0 is deterministic, 1 as random as ddpm; default: the recipe's"},
    {.name = "spacing",
     .type = CLI_CHOICE,
     .argument = "S",
     .value = &args.spacing,
     .choices = pm_recipe_spacings,
     .help =
         "which timesteps the steps visit: leading, linspace, trailing or quadratic; default: the recipe's"},
    {.name = "batch",
     CLI_N(args.batch, 1, 65536),
     .help = "pictures at a time: takes memory, changes no picture"},
    {.name = "first",
     .type = CLI_SEED,
     .argument = "N",
     .value = &args.first,
     .fallback = "0",
     .help = "number of the first picture: --first 20 goes on where -n 20 ended"},
    {.name = "preview",
     CLI_N(args.preview, 1, 1000000),
     .help = "every N steps, write what is known to a second file, FILE.preview.png"},
    {.name = "columns", CLI_N(args.columns, 1, 1000), .help = "of the sheet; default: one for each class"},
    {.name = "scale",
     CLI_N(args.scale, 1, 64),
     .help = "enlarge each pixel so many times; default: small pictures to 64"},
    {.name = "labels",
     .type = CLI_FLAG,
     .value = &args.labels,
     .help = "write the classes' names on the sheet"},
    {.name = "output",
     .letter = 'o',
     .type = CLI_TEXT,
     .argument = "FILE.png",
     .value = &args.output,
     .help = "where to; default: MODEL-SEED.png in this directory, and stdout for text"},

    {.name = "prompt",
     .letter = 'p',
     .type = CLI_TEXT,
     .argument = "TEXT",
     .value = &args.prompt,
     .help = "of text: what it begins with"},
    {.name = "suffix",
     .type = CLI_TEXT,
     .argument = "TEXT",
     .value = &args.suffix,
     .help = "of masked text: what it ends with"},
    {.name = "infill",
     .letter = 'i',
     .type = CLI_TEXT,
     .argument = "TEXT",
     .value = &args.infill,
     .help =
         "of masked text: a text with blanks, [7] of seven tokens, [2-9] of two to nine, ___ of up to 16"},
    {.name = "length", CLI_N(args.length, 1, 1000000), .help = "of text: tokens to draw; default: up to 256"},
    {.name = "temperature",
     .letter = 't',
     CLI_R(args.temperature, 0, 10),
     .help = "of text: 0 takes the most probable token, 1 is the model alone; default: the recipe's"},
    {.name = "top-k",
     CLI_N(args.top_k, 0, 1000000),
     .help = "of text: draw from the K most probable tokens, 0 for all; default: the recipe's"},
    {.name = "top-p",
     CLI_R(args.top_p, 0, 1),
     .help = "of text: draw from the fewest tokens of this much probability; default: the recipe's"},
    {.name = "min-p",
     CLI_R(args.min_p, 0, 1),
     .help = "of text: draw from tokens with this share of the highest probability; default: the recipe's"},
    {.name = "repetition",
     CLI_R(args.repetition, 0, 10),
     .help = "of text from left to right: penalty of tokens that were there, 1 for none; default: the "
             "recipe's"},
    {.name = "stop",
     .type = CLI_TEXTS,
     .argument = "TEXT",
     .value = &args.stop,
     .help = "of text from left to right: end before this; may be given several times"},
    {.name = "block",
     CLI_N(args.block, 0, 1000000),
     .help = "of masked text: tokens of a block, filled from left to right; 0: all at once; default: the "
             "recipe's"},
    {.name = "position-temperature",
     CLI_R(args.position_temperature, 0, 100),
     .help = "of masked text: randomness in the choice of positions; default: the recipe's"},
    {.name = "threshold",
     CLI_R(args.threshold, 0, 1),
     .help = "of masked text with the sampler threshold: reveal what is as sure as this; default: the "
             "recipe's"},
    {.name = "final-argmax",
     .type = CLI_FLAG,
     .value = &args.final_argmax,
     .help = "of masked text: let the last pass take the most probable tokens instead of drawing them"},
    {.name = "show", .type = CLI_FLAG, .value = &args.show, .help = "of masked text: watch it being filled"},
};

/* ---- Classes ------------------------------------------------------------------------------------------- */

static pm_status find_class(const pm_model_info *info, const char *name, uint32_t *out, pm_error *error)
{
    uint64_t number;
    char buffer[16];
    pm_nearest nearest = {.word = name};
    if (strcasecmp(name, "none") == 0) {
        *out = info->classes;
        return PM_OK;
    }
    for (uint32_t i = 0; i < info->classes; i++) {
        const char *candidate = cli_class_name(info, i, buffer, sizeof buffer);
        if (strcasecmp(candidate, name) == 0) {
            *out = i;
            return PM_OK;
        }
        if (candidate != buffer) pm_nearest_try(&nearest, candidate);
    }
    if (cli_parse_natural(name, &number) && number < info->classes) {
        *out = (uint32_t)number;
        return PM_OK;
    }
    return pm_fail(error, PM_BAD_USAGE, "no class \"%.40s\": there are numbers 0 to %u%s%s%s", name,
                   info->classes - 1, nearest.best ? "; did you mean " : "", nearest.best ? nearest.best : "",
                   nearest.best ? "?" : "");
}

/* "--class" as a list of classes, which pictures get in turn. */
static pm_status read_classes(const pm_model_info *info, uint32_t *list, uint32_t *count, pm_error *error)
{
    *count = 0;
    if (strcmp(args.class, "each") == 0) {
        for (; *count < info->classes && *count < MOST_CLASSES; ++*count) list[*count] = *count;
        return PM_OK;
    }
    if (info->classes == 0) {
        return pm_fail(error, PM_BAD_USAGE, "%s was trained without classes: leave --class out", info->name);
    }
    for (const char *at = args.class;; at++) {
        char name[64];
        size_t length = strcspn(at, ",");
        (void)snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), at);
        if (*count == MOST_CLASSES)
            return pm_fail(error, PM_BAD_USAGE, "--class takes at most %d classes", MOST_CLASSES);
        pm_status status = find_class(info, name, &list[(*count)++], error);
        if (status != PM_OK) return status;
        at += length;
        if (!*at) return PM_OK;
    }
}

/* ---- Sampling ------------------------------------------------------------------------------------------ */

typedef struct job {
    pm_model *model;
    pm_sample_options options;
    cli_sheet sheet;
    uint32_t *labels;
    uint8_t *pixels;
    char output[4096], preview[4120];
    cli_progress progress;
    pm_status preview_status;
    pm_error preview_error;
} job;

static bool on_progress(void *user, uint32_t done, uint32_t total)
{
    job *j = user;
    j->progress.total = total;
    cli_progress_update(&j->progress, done, NULL);
    return !cli_stopped();
}

static void on_preview(void *user, uint32_t step, uint32_t first, uint32_t count, const uint8_t *pixels)
{
    job *j = user;
    (void)step;
    if (j->preview_status != PM_OK) return;
    j->preview_status = cli_sheet_write(&j->sheet, j->preview, pixels, first, count, &j->preview_error);
    if (j->preview_status != PM_OK) cli_say("no more previews: %s", j->preview_error.message);
}

static void fill_options(job *j)
{
    j->options = pm_sample_defaults();
    j->options.count = args.count;
    j->options.first = args.first;
    j->options.sampler = args.sampler;
    j->options.spacing = args.spacing;
    j->options.steps = args.steps;
    j->options.eta = (float)args.eta;
    j->options.guidance = (float)args.guidance;
    j->options.batch = args.batch;
    j->options.progress = on_progress;
    j->options.preview_every = args.preview;
    j->options.preview = on_preview;
    j->options.user = j;
    cli_resolve_sampling(j->model, &j->options);
}

static pm_status prepare(job *j, pm_error *error)
{
    const pm_model_info info = pm_model_info_of(j->model);
    uint32_t classes[MOST_CLASSES], n_classes;
    size_t bytes;
    fill_options(j);
    if (args.output) {
        (void)snprintf(j->output, sizeof j->output, "%s", args.output);
    } else {
        (void)snprintf(j->output, sizeof j->output, "%s-%" PRIu64 ".png", info.name, cli.seed);
    }
    size_t stem = strlen(j->output);
    if (stem > 4 && strcmp(j->output + stem - 4, ".png") == 0) stem -= 4;
    (void)snprintf(j->preview, sizeof j->preview, "%.*s.preview.png", (int)stem, j->output);
    pm_status status = read_classes(&info, classes, &n_classes, error);
    if (status == PM_OK) status = cli_check_writable(j->output, error);
    if (status != PM_OK) return status;
    if (pm_mul_size(args.count, (size_t)info.height * info.width * info.channels, &bytes))
        j->pixels = calloc(bytes, 1);
    j->labels = calloc(args.count, sizeof *j->labels);
    if (!j->pixels || !j->labels)
        return pm_fail(error, PM_NO_MEMORY, "sample: no memory for %u pictures", args.count);
    for (uint32_t i = 0; n_classes && i < args.count; i++) j->labels[i] = classes[i % n_classes];
    j->options.labels = n_classes ? j->labels : NULL;
    j->sheet = (cli_sheet){.model = j->model,
                           .options = &j->options,
                           .period = n_classes,
                           .columns = args.columns,
                           .scale = args.scale,
                           .names = args.labels};
    return PM_OK;
}

static void report(const job *j, uint32_t made, double seconds)
{
    char parameters[4096];
    cli_sheet_parameters(&j->sheet, parameters, sizeof parameters);
    cli_say("%u pictures in %.2f s (%.3g pictures/s)", made, seconds, made / seconds);
    if (!cli.json) printf("%s\n", j->output);
    cli_result(json_pack("{s:s, s:i, s:f, s:f, s:b, s:s}", "file", j->output, "pictures", (int)made,
                         "seconds", seconds, "pictures_per_second", made / seconds, "stopped",
                         (int)cli_stopped(), "parameters", parameters));
}

static pm_status draw(job *j, pm_device *device, pm_error *error)
{
    uint32_t made = 0;
    cli_catch_signals();
    cli_progress_begin(&j->progress, "sampling", "steps", 0, 1);
    pm_status status = pm_model_sample(device, j->model, &j->options, j->pixels, &made, error);
    double seconds = cli_progress_seconds(&j->progress);
    cli_progress_end(&j->progress);
    if (status != PM_OK) return status;
    if (made == 0) return pm_fail(error, PM_FAILED, "stopped before the first picture");
    if (cli_stopped())
        cli_say(
            "stopped: writing what is done; the last pictures are estimates from the middle of their way");
    j->options.count = made;
    status = cli_sheet_write(&j->sheet, j->output, j->pixels, 0, made, error);
    if (status == PM_OK) report(j, made, seconds);
    return status;
}

static pm_status check_picture_sampler(pm_error *error)
{
    pm_nearest nearest = {.word = args.sampler};
    for (uint32_t i = 0; args.sampler && pm_recipe_samplers[i]; i++) {
        if (strcmp(args.sampler, pm_recipe_samplers[i]) == 0) return PM_OK;
        pm_nearest_try(&nearest, pm_recipe_samplers[i]);
    }
    if (!args.sampler) return PM_OK;
    return pm_fail(error, PM_BAD_USAGE, "no sampler %.40s of pictures; did you mean %s?", args.sampler,
                   nearest.best);
}

static pm_status sample_pictures(pm_model *model, pm_error *error)
{
    job j = {.model = model};
    pm_device *device = NULL;
    if (!args.count_given) args.count = 20;
    pm_status status = args.prompt || args.suffix || args.infill
                           ? pm_fail(error, PM_BAD_USAGE, "%s draws pictures: it takes no text",
                                     pm_model_info_of(model).name)
                           : check_picture_sampler(error);
    if (status == PM_OK) status = prepare(&j, error);
    if (status == PM_OK) status = cli_open_device(&device, error);
    if (status == PM_OK) status = draw(&j, device, error);
    pm_device_close(device);
    free(j.labels);
    free(j.pixels);
    return status;
}

static pm_status sample_text(pm_model *model, pm_error *error)
{
    cli_text_args text = {.options = pm_text_defaults(), .show = args.show, .output = args.output};
    pm_text_options *o = &text.options;
    pm_device *device = NULL;
    if (args.first > UINT32_MAX)
        return pm_fail(error, PM_BAD_USAGE, "--first of a text is at most %u", UINT32_MAX);
    if (args.count_given) o->count = args.count;
    o->seed = cli.seed;
    o->first = (uint32_t)args.first;
    o->batch = args.batch;
    o->prompt = args.prompt;
    o->suffix = args.suffix;
    o->infill = args.infill;
    o->length = args.length;
    o->sampler = args.sampler;
    o->steps = args.steps;
    o->block = args.block;
    if (!isnan(args.guidance)) o->guidance = (float)args.guidance;
    o->position_temperature = (float)args.position_temperature;
    o->threshold = (float)args.threshold;
    o->temperature = (float)args.temperature;
    o->top_p = (float)args.top_p;
    o->min_p = (float)args.min_p;
    o->repetition = (float)args.repetition;
    o->top_k = args.top_k;
    o->final_argmax = args.final_argmax;
    o->stop = args.stop.items;
    o->n_stop = args.stop.count;
    o->precision = cli_precision();
    if (model->recipe.kind == PM_KIND_TEXT_AUTOREGRESSIVE)
        (void)cli_use_few_threads(pm_model_info_of(model).parameters, o->count ? o->count : 1);
    pm_status status = cli_open_device(&device, error);
    if (status == PM_OK) status = cli_sample_text(device, model, &text, error);
    pm_device_close(device);
    return status;
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    pm_model *model = NULL;
    (void)count;
    pm_status status = cli_open_model(arguments[0], &model, error);
    if (status != PM_OK) return status;
    status = pm_kind_is_text(model->recipe.kind) ? sample_text(model, error) : sample_pictures(model, error);
    pm_model_close(model);
    return status;
}

const cli_verb cli_sample = {
    .name = "sample",
    .summary = "draw pictures or text with a trained model",
    .arguments = "MODEL",
    .least = 1,
    .most = 1,
    .about = "MODEL is a file that `pumice train` wrote, or the name of one that comes with Pumice\n"
             "(fashion-small, kjv-ar, kjv-masked). Picture number i depends on the seed and on i alone, not "
             "on the\n"
             "batch, and in precision exact not on the device, and so does a text. A PNG carries\n"
             "its parameters.\n",
    .examples = "  pumice sample fashion-small -n 80\n      eight of each class\n"
                "  pumice sample fashion-small -c sneaker,bag -g 4 --labels -o shoes.png\n"
                "      two classes, more typical of them\n"
                "  pumice sample out/mine/model.safetensors --sampler ddpm --steps 1000\n"
                "      slow, as in the first paper\n"
                "  pumice sample kjv-ar --prompt \"In the beginning \" --length 300\n"
                "      text from left to right\n"
                "  pumice sample kjv-masked --infill \"And God said, ___ be light.\" --show\n"
                "      blanks of a text, filled while you watch\n",
    CLI_OPTIONS(options),
    .run = run,
};
