/* `pumice train`: from a recipe and pictures or text to a model. */
#include "cli.h"
#include "commands.h"
#include "source.h"
#include "training_run.h"

#include "files/file_error.h"
#include "sampling/model.h"
#include "training/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *data, *out, *resume;
    cli_texts set;
    uint32_t steps, save_every, sample_every;
    double minutes;
    bool explain, save_given, sample_given;
} args;

static const cli_option options[] = {
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "PATH",
     .value = &args.data,
     .environment = "PUMICE_DATA",
     .help =
         "a directory with one folder of pictures a class, or with IDX files; of text: a file or a folder; "
         "default: the recipe's"},
    {.name = "set",
     .letter = 's',
     .type = CLI_TEXTS,
     .argument = "KEY=VALUE",
     .value = &args.set,
     .help = "change a key of the recipe, such as training.batch=64; may be given several times; "
             "`pumice recipes --keys` lists them"},
    {.name = "steps",
     CLI_N(args.steps, 1, 10000000),
     .help = "length of the whole training, the same as --set training.steps=N"},
    {.name = "minutes",
     .letter = 'm',
     .type = CLI_REAL,
     .argument = "M",
     .value = &args.minutes,
     .low = 0.01,
     .high = 1e6,
     .help = "stop and save after so long, wherever it stands"},
    {.name = "out",
     .letter = 'o',
     .type = CLI_TEXT,
     .argument = "DIR",
     .value = &args.out,
     .help = "where everything goes; default: out/RECIPE, or the directory that is resumed"},
    {.name = "resume",
     .letter = 'r',
     .type = CLI_TEXT,
     .argument = "DIR",
     .value = &args.resume,
     .help = "go on from the checkpoint in this directory, bit for bit as if it had never stopped"},
    {.name = "save-every",
     CLI_N(args.save_every, 0, 10000000),
     .given = &args.save_given,
     .help = "steps between checkpoints, 0 for only at the end; default: the recipe's"},
    {.name = "sample-every",
     CLI_N(args.sample_every, 0, 10000000),
     .given = &args.sample_given,
     .help = "steps between samples, 0 for only at the end; default: the recipe's"},
    {.name = "explain",
     .type = CLI_FLAG,
     .value = &args.explain,
     .help = "plan the step, run it a few times, print what it is made of and what takes how long, and end"},
};

/* ---- Recipe -------------------------------------------------------------------------------------------- */

static pm_status resumed_recipe(const char *name, pm_recipe *recipe, pm_error *error)
{
    char path[4096];
    pm_model *saved;
    (void)snprintf(path, sizeof path, "%s/checkpoint.safetensors", args.resume);
    pm_status status = pm_model_open(path, &saved, error);
    if (status != PM_OK) return status;
    *recipe = saved->recipe;
    if (saved->step >= UINT32_MAX) status = pm_fail_at(error, PM_BAD_FILE, path, "its step is beyond 2^32");
    pm_model_close(saved);
    pm_recipe named;
    if (status == PM_OK && name) status = pm_recipe_load(name, &named, error);
    if (status == PM_OK && name && strcmp(named.name, recipe->name) != 0) {
        status = pm_fail(error, PM_BAD_USAGE, "%s holds a run of recipe %s, not %s", args.resume,
                         recipe->name, named.name);
    }
    return status;
}

static pm_status read_recipe(const char *name, pm_recipe *recipe, pm_error *error)
{
    if (!name && !args.resume) {
        return pm_fail(error, PM_BAD_USAGE,
                       "pumice train needs RECIPE or --resume DIR; `pumice recipes` lists what there is");
    }
    pm_status status =
        args.resume ? resumed_recipe(name, recipe, error) : pm_recipe_load(name, recipe, error);
    for (uint32_t i = 0; status == PM_OK && i < args.set.count; i++) {
        status = pm_recipe_set(recipe, args.set.items[i], error);
    }
    if (args.steps) recipe->training.steps = args.steps;
    if (args.save_given) recipe->training.save_every = args.save_every;
    if (args.sample_given && recipe->kind != PM_KIND_IMAGE_CLASSIFIER)
        recipe->training.sample_every = args.sample_every;
    if (cli.seed_given) recipe->training.seed = cli.seed;
    if (status == PM_OK && args.data) {
        if (strlen(args.data) >= sizeof recipe->data.source) {
            return pm_fail_at(error, PM_BAD_USAGE, args.data, "the path is too long");
        }
        (void)snprintf(recipe->data.source, sizeof recipe->data.source, "%s", args.data);
    }
    return status;
}

/* ---- Directory ----------------------------------------------------------------------------------------- */

static pm_status choose_directory(const pm_recipe *recipe, char *directory, size_t size, pm_error *error)
{
    char path[4096];
    if (args.out || args.resume) {
        (void)snprintf(directory, size, "%s", args.out ? args.out : args.resume);
    } else {
        (void)snprintf(directory, size, "out/%s", recipe->name);
    }
    (void)snprintf(path, sizeof path, "%s/checkpoint.safetensors", directory);
    bool same = args.resume && strcmp(directory, args.resume) == 0;
    if (!same && cli_file_exists(path)) {
        return pm_fail(error, PM_BAD_USAGE,
                       "%s holds a run already: go on with --resume %s, or choose another --out", directory,
                       directory);
    }
    pm_status status = cli_make_directory(directory, error);
    return status == PM_OK ? cli_check_writable(path, error) : status;
}

/* ---- Running ------------------------------------------------------------------------------------------- */

static pm_status explain(pm_trainer *trainer, pm_error *error)
{
    pm_status status = pm_trainer_run(trainer, 3, error);
    if (status == PM_OK) status = pm_plan_wait(pm_trainer_plan(trainer), error);
    if (status == PM_OK) pm_plan_explain(pm_trainer_plan(trainer), cli_print_line, NULL);
    return status;
}

/* Accuracy on the test split, of a classifier; NAN of anything else. */
static pm_status test_accuracy(const cli_training *run, double *accuracy, pm_error *error)
{
    char path[4096];
    pm_model *model = NULL;
    pm_dataset *test = NULL;
    *accuracy = (double)NAN;
    if (run->recipe.kind != PM_KIND_IMAGE_CLASSIFIER || cli_stopped()) return PM_OK;
    pm_status status =
        pm_model_open(cli_training_path(run, "model.safetensors", path, sizeof path), &model, error);
    if (status == PM_OK) status = cli_open_data(&run->recipe, NULL, PM_SPLIT_TEST, &test, error);
    uint32_t *classes = status == PM_OK ? malloc(test->count * sizeof *classes) : NULL;
    if (status == PM_OK && !classes) status = pm_fail(error, PM_NO_MEMORY, "train: out of host memory");
    if (status == PM_OK)
        status = pm_classify(run->device, model, test->pixels, test->count, classes, NULL, NULL, error);
    uint32_t right = 0;
    for (uint32_t i = 0; status == PM_OK && i < test->count; i++) right += classes[i] == test->labels[i];
    if (status == PM_OK) *accuracy = (double)right / test->count;
    free(classes);
    pm_dataset_close(test);
    pm_model_close(model);
    return status;
}

static void report(const cli_training *run, double accuracy)
{
    char path[4096], duration[32];
    uint64_t step = pm_trainer_step(run->trainer);
    double seconds = run->earlier_seconds + cli_seconds() - run->started;
    bool finished = step >= run->recipe.training.steps;
    cli_training_path(run, "model.safetensors", path, sizeof path);
    cli_say("%s: step %" PRIu64 " of %" PRIu32 " after %s, loss %.4g", finished ? "done" : "saved", step,
            run->recipe.training.steps, cli_duration(seconds, duration, sizeof duration), run->smooth_loss);
    if (!finished) cli_say("go on with: pumice train --resume %s", run->directory);
    if (run->recipe.kind != PM_KIND_IMAGE_CLASSIFIER) cli_say("draw with: pumice sample %s", path);
    if (!cli.json) printf("%s\n", path);
    if (!cli.json && !isnan(accuracy)) printf("test accuracy %.2f %%\n", 100 * accuracy);
    cli_result(json_pack("{s:s, s:s, s:s, s:I, s:i, s:b, s:o, s:f, s:o}", "recipe", run->recipe.name,
                         "directory", run->directory, "model", path, "step", (json_int_t)step, "steps",
                         (int)run->recipe.training.steps, "finished", (int)finished, "loss",
                         cli_real(run->smooth_loss), "seconds", seconds, "test_accuracy",
                         cli_real(accuracy)));
}

static pm_status train(cli_training *run, pm_error *error)
{
    double accuracy;
    pm_error ignored;
    cli_catch_signals();
    pm_status status = cli_training_begin(run, error);
    if (status == PM_OK) status = cli_training_loop(run, error);
    if (status == PM_OK) status = cli_training_save(run, error);
    bool finished = pm_trainer_step(run->trainer) >= run->recipe.training.steps;
    if (status == PM_OK && finished && run->first_step < run->recipe.training.steps)
        status = cli_training_samples(run, error);
    if (status == PM_OK) status = test_accuracy(run, &accuracy, error);
    if (status == PM_OK) report(run, accuracy);
    pm_status ended = cli_training_end(run, status == PM_OK ? error : &ignored);
    return status == PM_OK ? ended : status;
}

static pm_status create_and_train(cli_training *run, const cli_source *source, pm_error *error)
{
    char checkpoint[4096];
    pm_plan_options plan_options = {.precision = cli_precision(), .profile = args.explain};
    pm_status status =
        cli_create_trainer(run->device, &run->recipe, source, &plan_options, &run->trainer, error);
    if (status == PM_OK) status = cli_say_recompute(run->device, &run->recipe, source, run->trainer, error);
    if (status == PM_OK && args.explain) return explain(run->trainer, error);
    if (status == PM_OK && args.resume) {
        (void)snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", args.resume);
        status = pm_trainer_resume(run->trainer, checkpoint, error);
    }
    if (status != PM_OK) return status;
    char what[160];
    cli_say("%s: %s, from step %" PRIu64 " to %" PRIu32 ", in %s", run->recipe.name,
            cli_source_text(source, &run->recipe, what, sizeof what), pm_trainer_step(run->trainer),
            run->recipe.training.steps, run->directory);
    return train(run, error);
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    char directory[2048] = "";
    cli_source source = {0};
    cli_training run = {.directory = directory, .seconds_limit = 60 * args.minutes};
    pm_status status = read_recipe(count ? arguments[0] : NULL, &run.recipe, error);
    if (status == PM_OK) status = cli_source_open(&run.recipe, &source, error);
    if (status == PM_OK && !args.explain)
        status = choose_directory(&run.recipe, directory, sizeof directory, error);
    if (status == PM_OK) status = cli_open_device(&run.device, error);
    run.save_every = run.recipe.training.save_every;
    run.sample_every = run.recipe.training.sample_every;
    if (status == PM_OK) status = create_and_train(&run, &source, error);
    pm_trainer_destroy(run.trainer);
    pm_device_close(run.device);
    cli_source_close(&source);
    return status;
}

const cli_verb cli_train = {
    .name = "train",
    .summary = "train a model by a recipe, on the pictures or the text that it names or on your own",
    .arguments = "[RECIPE]",
    .most = 1,
    .about = "RECIPE is a name that `pumice recipes` lists, or a JSON file. The directory gets the\n"
             "model, a checkpoint, a log, a curve of the loss, and samples while it\n"
             "learns. Ctrl-C saves and ends; --resume goes on.\n",
    .examples = "  pumice train fashion-tiny --minutes 2\n      something to look at, on any machine\n"
                "  pumice train fashion-small --data my/pictures --set data.size=32 --out out/mine\n"
                "      your own pictures, in one folder a class\n"
                "  pumice train --resume out/mine\n      go on\n",
    CLI_OPTIONS(options),
    .words = pm_recipe_names,
    .run = run,
};
