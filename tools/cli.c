/* What the verbs share; see cli.h. */
#include "cli.h"

#include "files/file_error.h"
#include "files/file_io.h"

#include "base/posix.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

cli_globals cli;

/* ---- Device -------------------------------------------------------------------------------------------- */

pm_precision cli_precision(void)
{
    uint32_t p = 0;
    while (p < PM_PRECISIONS && strcmp(cli.precision, pm_precision_names[p]) != 0) p++;
    return p < PM_PRECISIONS ? (pm_precision)p : PM_EXACT;
}

pm_device_options cli_device_options(void)
{
    return (pm_device_options){.select = cli.device, .limits = cli.limits, .off = cli.off};
}

static void say_line(void *user, const char *line)
{
    (void)user;
    cli_say("%s", line);
}

pm_status cli_open_device(pm_device **out, pm_error *error)
{
    pm_device_options options = cli_device_options();
    options.say = say_line;
    pm_status status = pm_device_open(&options, out, error);
    if (status != PM_OK) return status;
    const pm_device_facts *facts = pm_device_facts_of(*out);
    cli_say("%s", pm_device_choice(*out));
    if (cli_precision() == PM_FAST && !pm_device_uses(*out, PM_MATRIX_UNITS))
        cli_say("precision fast: no matrix units that this build can use: everything is as in precision f32");
    cli_log_event("device", json_pack("{s:s, s:s, s:s}", "name", facts->name, "driver", facts->driver,
                                      "driver_info", facts->driver_info));
    return PM_OK;
}

/* ---- Files --------------------------------------------------------------------------------------------- */

bool cli_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

pm_status cli_find_model(const char *name, char *path, size_t size, pm_error *error)
{
    static const char *const places[] = {PM_DATA_DIR "/weights", PM_SOURCE_DIR "/models/weights"};
    (void)snprintf(path, size, "%s", name);
    if (strlen(name) < size && cli_file_exists(path)) return PM_OK;
    for (uint32_t i = 0; i < 2 && !pm_last_separator(name); i++) {
        (void)snprintf(path, size, "%s/%s.safetensors", places[i], name);
        if (cli_file_exists(path)) return PM_OK;
    }
    if (pm_last_separator(name) || strchr(name, '.'))
        return pm_fail_at(error, PM_IO, name, "cannot be opened: %s", strerror(ENOENT));
    return pm_fail_at(error, PM_IO, name, "no such file, and no model of this name comes with Pumice");
}

pm_status cli_open_model(const char *name, pm_model **out, pm_error *error)
{
    char path[4096];
    *out = NULL;
    pm_status status = cli_find_model(name, path, sizeof path, error);
    return status == PM_OK ? pm_model_open(path, out, error) : status;
}

pm_status cli_open_data(const pm_recipe *recipe, const char *directory, pm_split split, pm_dataset **out,
                        pm_error *error)
{
    const char *source = directory ? directory : recipe->data.source;
    /* The seed of the split is fixed, so that no verb takes for a test what another has trained on. */
    pm_dataset_options options = {
        .path = strcmp(source, "fashion-mnist") == 0 ? NULL : source,
        .split = split,
        .size = recipe->data.size,
        .test_fraction = PM_TEST_FRACTION,
    };
    return pm_dataset_open(&options, out, error);
}

pm_status cli_open_text(pm_recipe *recipe, pm_corpus *out, pm_error *error)
{
    pm_corpus_options options = {
        .source = recipe->data.source,
        .tokenizer = recipe->data.tokenizer,
        .validation = recipe->data.validation,
        .split_seed = recipe->data.split_seed,
    };
    pm_status status = pm_corpus_open(&options, out, error);
    if (status != PM_OK) return status;
    if (out->n_train <= recipe->transformer.context) {
        return pm_fail_at(error, PM_BAD_FILE, recipe->data.source,
                          "%u tokens are too few for windows of %u: set transformer.context lower",
                          out->n_train, recipe->transformer.context);
    }
    return pm_recipe_fit_text(recipe, pm_tokenizer_size(out->tokenizer), error);
}

pm_status cli_make_directory(const char *path, pm_error *error)
{
    char part[4096];
    size_t length = strlen(path);
    int reason = 0; /* of the first failure; that of a drive's letter does not matter */
    if (length >= sizeof part) return pm_fail_at(error, PM_BAD_USAGE, path, "the path is too long");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '\0' && !pm_is_separator(path[i])) continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && reason == 0) reason = errno;
    }
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return PM_OK;
    if (reason) return pm_fail_at(error, PM_IO, path, "the directory cannot be made: %s", strerror(reason));
    return pm_fail_at(error, PM_IO, path, "is not a directory");
}

pm_status cli_check_writable(const char *path, pm_error *error)
{
    pm_file_writer *writer = NULL;
    pm_status status = pm_file_begin(path, &writer, error);
    pm_file_abort(writer);
    return status;
}

/* ---- Interruption -------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

void cli_catch_signals(void)
{
#ifdef _WIN32
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
#else
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
#endif
}

bool cli_stopped(void)
{
    return stopped != 0;
}

/* ---- Results ------------------------------------------------------------------------------------------- */

void cli_print_line(void *user, const char *text)
{
    (void)user;
    puts(text);
}

void cli_log_event(const char *name, json_t *more)
{
    char text[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (cli.log && gmtime_r(&now, &utc)) (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *event = cli.log ? json_pack("{s:s, s:s}", "event", name, "time", text) : NULL;
    if (event && more) (void)json_object_update(event, more);
    cli_log_write(cli.log, event);
    json_decref(more);
}

void cli_result(json_t *result)
{
    json_incref(result);
    cli_log_event("result", result);
    if (cli.json) {
        cli_print_json(result);
    } else {
        json_decref(result);
    }
}
