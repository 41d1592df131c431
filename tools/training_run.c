/* A training run with its files; see training_run.h. */
#include "training_run.h"

#include "files/file_error.h"
#include "files/file_io.h"
#include "sheet.h"
#include "source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reading a loss waits for the device. Twice a second that costs nothing, and an interruption is noticed as
 * fast. */
#define SECONDS_BETWEEN_READS 0.5
#define SMOOTHING_PER_STEP 0.98
enum {
    MOST_BAD_LOSSES = 20,
    SAMPLE_TEXTS = 4,
    SHEET_ROWS = 4,
    SHEET_COLUMNS = 10,
    SHEET_WITHOUT_CLASSES = 6
};

const char *cli_training_path(const cli_training *run, const char *name, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "%s/%s", run->directory, name);
    return buffer;
}

/* ---- The log ------------------------------------------------------------------------------------------- */

static bool add_point(cli_training *run, double step, double loss)
{
    if (run->n_points == run->cap_points) {
        size_t room = run->cap_points ? 2 * run->cap_points : 1024;
        cli_point *points = realloc(run->points, room * sizeof *points);
        if (!points) return false;
        run->points = points;
        run->cap_points = room;
    }
    run->points[run->n_points++] = (cli_point){step, loss};
    return true;
}

static void smooth(cli_training *run, double loss, uint64_t steps)
{
    if (!isfinite(loss)) return;
    double weight = isnan(run->smooth_loss) ? 1.0 : 1.0 - pow(SMOOTHING_PER_STEP, (double)steps);
    if (isnan(run->smooth_loss)) run->smooth_loss = loss;
    run->smooth_loss += weight * (loss - run->smooth_loss);
}

/* A log that is read again, and what is kept of it. */
typedef struct kept_log {
    cli_training *run;
    char *text;
    size_t size, room;
    bool failed;
    double last_step;
} kept_log;

static void keep_line(void *user, const json_t *object)
{
    kept_log *kept = user;
    double step = json_number_value(json_object_get(object, "step"));
    json_t *loss = json_object_get(object, "loss");
    if (step > (double)kept->run->first_step || kept->failed) return;
    char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    size_t length = line ? strlen(line) : 0;
    if (kept->size + length + 2 > kept->room) {
        kept->room = 2 * kept->room + length + 2;
        char *text = realloc(kept->text, kept->room);
        if (text) kept->text = text;
        kept->failed = !text;
    }
    kept->failed |=
        !line || !add_point(kept->run, step, json_is_number(loss) ? json_number_value(loss) : (double)NAN);
    if (!kept->failed) {
        memcpy(kept->text + kept->size, line, length);
        kept->text[kept->size + length] = '\n';
        kept->size += length + 1;
        kept->run->earlier_seconds = json_number_value(json_object_get(object, "seconds"));
        smooth(kept->run, json_number_value(loss), (uint64_t)(step - kept->last_step));
        kept->last_step = step;
    }
    free(line);
}

/* Leaves only the lines of `path` up to the step that the run goes on from: none for a new run. */
static pm_status cut_log(cli_training *run, const char *path, pm_error *error)
{
    kept_log kept = {.run = run};
    pm_status status = PM_OK;
    if (run->first_step > 0 && cli_file_exists(path)) status = cli_log_read(path, keep_line, &kept, error);
    if (status == PM_OK && kept.failed) status = pm_fail_memory(error, path);
    pm_bytes chunk = {kept.text ? kept.text : "", kept.size};
    if (status == PM_OK) status = pm_write_file(path, &chunk, 1, error);
    free(kept.text);
    return status;
}

pm_status cli_training_begin(cli_training *run, pm_error *error)
{
    char path[4096];
    run->first_step = run->saved_step = pm_trainer_step(run->trainer);
    run->smooth_loss = (double)NAN;
    run->started = cli_seconds();
    cli_training_path(run, "log.jsonl", path, sizeof path);
    pm_status status = cut_log(run, path, error);
    return status == PM_OK ? cli_log_open(path, &run->log, error) : status;
}

pm_status cli_training_end(cli_training *run, pm_error *error)
{
    pm_status status = cli_log_close(run->log, error);
    run->log = NULL;
    free(run->points);
    run->points = NULL;
    return status;
}

/* ---- Saving and drawing -------------------------------------------------------------------------------- */

static pm_status plot(const cli_training *run, pm_error *error)
{
    char path[4096], title[200];
    (void)snprintf(title, sizeof title, "%s, step %" PRIu64 " of %" PRIu32, run->recipe.name,
                   pm_trainer_step(run->trainer), run->recipe.training.steps);
    const char *loss = run->recipe.kind == PM_KIND_IMAGE_DIFFUSION ? "loss (mean squared error)"
                       : pm_kind_is_text(run->recipe.kind)         ? "loss (nats a token)"
                                                                   : "loss (cross-entropy)";
    return cli_plot_write(cli_training_path(run, "loss.svg", path, sizeof path), title, "step", loss,
                          run->points, run->n_points, error);
}

pm_status cli_training_save(cli_training *run, pm_error *error)
{
    char path[4096];
    pm_status status = pm_trainer_save(
        run->trainer, cli_training_path(run, "checkpoint.safetensors", path, sizeof path), error);
    if (status != PM_OK) return status;
    run->saved_step = pm_trainer_step(run->trainer);
    status = pm_trainer_export(run->trainer, cli_training_path(run, "model.safetensors", path, sizeof path),
                               error);
    return status == PM_OK ? plot(run, error) : status;
}

static bool go_on_sampling(void *user, uint32_t done, uint32_t total)
{
    cli_progress_update(user, done, NULL);
    (void)total;
    return !cli_stopped();
}

static pm_status draw_sheet(cli_training *run, const pm_model *model, pm_error *error)
{
    const pm_model_info info = pm_model_info_of(model);
    uint32_t labels[SHEET_ROWS * SHEET_COLUMNS], made = 0;
    uint32_t columns = info.classes && info.classes < SHEET_COLUMNS ? info.classes : SHEET_COLUMNS;
    if (!info.classes) columns = SHEET_WITHOUT_CLASSES;
    cli_progress progress;
    pm_sample_options options = pm_sample_defaults();
    options.count = columns * SHEET_ROWS;
    options.labels = info.classes ? labels : NULL;
    options.progress = go_on_sampling;
    options.user = &progress;
    for (uint32_t i = 0; i < options.count; i++) labels[i] = i % columns;
    cli_resolve_sampling(model, &options);
    options.seed = run->recipe.training.seed;
    uint8_t *pixels = calloc((size_t)options.count * info.height * info.width, info.channels);
    if (!pixels) return pm_fail(error, PM_NO_MEMORY, "samples: out of host memory");
    cli_progress_begin(&progress, "samples", "steps", 0, options.steps);
    pm_status status = pm_model_sample(run->device, model, &options, pixels, &made, error);
    cli_progress_end(&progress);
    if (status == PM_OK && !cli_stopped()) {
        char name[64], path[4096];
        (void)snprintf(name, sizeof name, "samples-%06" PRIu64 ".png", pm_trainer_step(run->trainer));
        cli_sheet sheet = {.model = model, .options = &options, .period = columns, .columns = columns};
        status =
            cli_sheet_write(&sheet, cli_training_path(run, name, path, sizeof path), pixels, 0, made, error);
        if (status == PM_OK) cli_say("samples: %s", path);
    }
    free(pixels);
    return status;
}

static bool go_on_filling(void *user, uint32_t step, uint32_t steps, uint32_t index, const char *text)
{
    (void)user, (void)step, (void)steps, (void)index, (void)text;
    return !cli_stopped();
}

static bool go_on_writing(void *user, uint32_t index, const char *bytes, size_t count)
{
    (void)user, (void)index, (void)bytes, (void)count;
    return !cli_stopped();
}

/* A few texts from nothing, always with the same random numbers. */
static pm_status write_texts(cli_training *run, const pm_model *model, pm_error *error)
{
    pm_texts texts;
    char name[64], path[4096];
    pm_bytes chunks[2 * SAMPLE_TEXTS];
    pm_text_options options = pm_text_defaults();
    options.count = SAMPLE_TEXTS;
    options.seed = run->recipe.training.seed;
    options.precision = cli_precision();
    options.canvas = go_on_filling;
    options.gained = go_on_writing;
    pm_status status = pm_model_generate(run->device, model, &options, &texts, error);
    (void)snprintf(name, sizeof name, "samples-%06" PRIu64 ".txt", pm_trainer_step(run->trainer));
    for (uint32_t i = 0; status == PM_OK && i < SAMPLE_TEXTS; i++) {
        chunks[2 * i] = (pm_bytes){texts.texts[i], texts.sizes[i]};
        chunks[2 * i + 1] = (pm_bytes){"\n---\n", 5};
    }
    if (status == PM_OK && !cli_stopped()) {
        status =
            pm_write_file(cli_training_path(run, name, path, sizeof path), chunks, 2 * SAMPLE_TEXTS, error);
        if (status == PM_OK) cli_say("samples: %s", path);
    }
    pm_texts_free(&texts);
    return status;
}

pm_status cli_training_samples(cli_training *run, pm_error *error)
{
    char path[4096];
    pm_error why = {0};
    pm_model *model = NULL;
    if (run->recipe.kind == PM_KIND_IMAGE_CLASSIFIER) return PM_OK;
    cli_training_path(run, "model.safetensors", path, sizeof path);
    pm_status status = pm_trainer_export(run->trainer, path, &why);
    if (status == PM_OK) status = pm_model_open(path, &model, &why);
    if (status == PM_OK)
        status =
            pm_kind_is_text(run->recipe.kind) ? write_texts(run, model, &why) : draw_sheet(run, model, &why);
    pm_model_close(model);
    if (status == PM_DEVICE_LOST) return pm_fail(error, status, "%s", why.message);
    if (status != PM_OK) cli_say("no samples at this step: %s", why.message);
    return PM_OK;
}

/* ---- The loop ------------------------------------------------------------------------------------------ */

static uint64_t until_multiple(uint64_t step, uint32_t every)
{
    return every ? every - step % every : UINT64_MAX;
}

static uint32_t steps_until_read(const cli_training *run, double seconds_per_step)
{
    uint64_t step = pm_trainer_step(run->trainer), steps = run->recipe.training.steps - step;
    uint64_t save = until_multiple(step, run->save_every), sample = until_multiple(step, run->sample_every);
    double wanted = seconds_per_step > 0 ? SECONDS_BETWEEN_READS / seconds_per_step : 1;
    if (wanted < (double)steps) steps = wanted < 1 ? 1 : (uint64_t)wanted;
    if (save < steps) steps = save;
    if (sample < steps) steps = sample;
    return (uint32_t)steps;
}

static pm_status record(cli_training *run, uint64_t steps, double loss, double norm, pm_error *error)
{
    uint64_t step = pm_trainer_step(run->trainer);
    double seconds = run->earlier_seconds + cli_seconds() - run->started;
    smooth(run, loss, steps);
    run->bad_losses = isfinite(loss) ? 0 : run->bad_losses + 1;
    cli_log_write(run->log,
                  json_pack("{s:I, s:o, s:o, s:f, s:I}", "step", (json_int_t)step, "loss", cli_real(loss),
                            "grad_norm", cli_real(norm), "seconds", seconds, cli_unit(&run->recipe),
                            (json_int_t)(step * cli_units_of_step(&run->recipe))));
    if (!add_point(run, (double)step, loss)) return pm_fail(error, PM_NO_MEMORY, "train: out of host memory");
    if (run->bad_losses < MOST_BAD_LOSSES) return PM_OK;
    return pm_fail(error, PM_FAILED,
                   "the loss is not finite, %d times in a row, at step %" PRIu64
                   ": lower training.learning_rate; the last good checkpoint is of step %" PRIu64,
                   MOST_BAD_LOSSES, step, run->saved_step);
}

static void show(cli_training *run, cli_progress *progress)
{
    char text[160], memory[32];
    pm_plan_stats stats = pm_plan_stats_of(pm_trainer_plan(run->trainer));
    (void)snprintf(text, sizeof text, "loss %.4g  %.4g %s/s  %s", run->smooth_loss,
                   progress->rate * cli_units_of_step(&run->recipe), cli_unit(&run->recipe),
                   cli_size(stats.persistent_bytes + stats.activation_bytes, memory, sizeof memory));
    cli_progress_update(progress, pm_trainer_step(run->trainer), text);
}

/* A few steps, and a look at the loss. */
static pm_status advance(cli_training *run, double *seconds_per_step, pm_error *error)
{
    float loss, norm;
    uint32_t steps = steps_until_read(run, *seconds_per_step);
    double start = cli_seconds();
    pm_status status = pm_trainer_run(run->trainer, steps, error);
    if (status == PM_OK) status = pm_trainer_loss(run->trainer, &loss, &norm, error);
    if (status != PM_OK) return status;
    *seconds_per_step = (cli_seconds() - start) / steps;
    return record(run, steps, (double)loss, (double)norm, error);
}

pm_status cli_training_loop(cli_training *run, pm_error *error)
{
    cli_progress progress;
    double seconds_per_step = 0;
    uint32_t last = run->recipe.training.steps;
    pm_status status = PM_OK;
    cli_progress_begin(&progress, "training", "steps", run->first_step, last);
    if (run->seconds_limit > 0) progress.deadline = run->started + run->seconds_limit;
    while (status == PM_OK && pm_trainer_step(run->trainer) < last && !cli_stopped() && !run->out_of_time) {
        status = advance(run, &seconds_per_step, error);
        uint64_t step = pm_trainer_step(run->trainer);
        if (status == PM_OK) show(run, &progress);
        if (status == PM_OK && step < last && until_multiple(step, run->save_every) == run->save_every) {
            status = cli_training_save(run, error);
        }
        if (status == PM_OK && step < last && until_multiple(step, run->sample_every) == run->sample_every) {
            status = cli_training_samples(run, error);
        }
        cli_progress_skip(&progress);
        run->out_of_time = run->seconds_limit > 0 && cli_seconds() - run->started >= run->seconds_limit;
    }
    cli_progress_end(&progress);
    if (status != PM_OK && status != PM_FAILED && run->saved_step > 0) {
        cli_say("the last good checkpoint, of step %" PRIu64 ", is in %s", run->saved_step, run->directory);
    }
    return status;
}
