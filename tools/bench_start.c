/* `pumice bench start`: from the start of a process to the end of its first training step, without caches and
 * with those that earlier starts have left. This process begins others, of the same program, which have a
 * folder for their caches that nothing else uses. */
#include "bench.h"
#include "source.h"

#include "base/clock.h"
#include "base/posix.h"
#include "base/status.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tells a process that it is one of those, and when it was begun, by pm_seconds(). */
#define SINCE "PUMICE_BENCH_SINCE"

/* Starts that are measured with caches, after one that is not: of the first start they have not everything.
 */
enum { WARM_STARTS = 3, MORE_STEPS = 2 };

typedef struct start {
    double until_step; /* seconds to the end of the first step */
    double step;       /* of a later one */
} start;

/* ---- A process that starts ----------------------------------------------------------------------------- */

static pm_status run_step(pm_trainer *trainer, pm_error *error)
{
    pm_status status = pm_trainer_run(trainer, 1, error);
    return status == PM_OK ? pm_plan_wait(pm_trainer_plan(trainer), error) : status;
}

static pm_status be_started(pm_device *device, const char *name, double since, pm_error *error)
{
    pm_recipe recipe;
    cli_source source = {0};
    pm_trainer *trainer = NULL;
    start now = {0};
    pm_plan_options options = {.precision = cli_precision()};
    pm_status status = bench_load_recipe(name, bench_args.data, &recipe, error);
    if (status != PM_OK) return status;
    status = cli_source_open(&recipe, &source, error);
    if (status == PM_OK) status = cli_create_trainer(device, &recipe, &source, &options, &trainer, error);
    if (status == PM_OK) status = run_step(trainer, error);
    now.until_step = pm_seconds() - since;
    for (uint32_t i = 0; status == PM_OK && i < MORE_STEPS; i++) {
        double begun = pm_seconds();
        status = run_step(trainer, error);
        double step = pm_seconds() - begun;
        if (i == 0 || step < now.step) now.step = step;
    }
    if (status == PM_OK) printf("%.6f %.6f\n", now.until_step, now.step);
    pm_trainer_destroy(trainer);
    cli_source_close(&source);
    return status;
}

/* ---- Starting one -------------------------------------------------------------------------------------- */

#ifdef _WIN32

pm_status bench_start_rows(const char *recipe, const char *data, bench_report *report, pm_error *error)
{
    (void)recipe;
    (void)data;
    (void)report;
    (void)error;
    cli_say("starts are left out: on Windows they are not measured");
    return PM_OK;
}

#else

#include <spawn.h>
#include <sys/wait.h>

#define PROGRAM "/proc/self/exe"

extern char **environ;

/* What a child's environment has of its own: where caches lie, Mesa's and NVIDIA's too; ended by NULL. */
static const char *const own[] = {"XDG_CACHE_HOME", "MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH",
                                  SINCE, NULL};

static bool is_own(const char *variable)
{
    for (uint32_t i = 0; own[i]; i++) {
        size_t length = strlen(own[i]);
        if (strncmp(variable, own[i], length) == 0 && variable[length] == '=') return true;
    }
    return false;
}

/* This process's environment with those set; `room` has the text of them. NULL when memory ran out. */
static char **child_environment(const char *folder, double since, char room[][600])
{
    size_t count = 0, n = 0;
    while (environ[count]) count++;
    char **all = malloc((count + sizeof own / sizeof own[0]) * sizeof *all);
    for (size_t i = 0; all && i < count; i++) {
        if (!is_own(environ[i])) all[n++] = environ[i];
    }
    for (size_t i = 0; all && own[i]; i++) {
        if (strcmp(own[i], SINCE) == 0) {
            (void)snprintf(room[i], sizeof room[i], "%s=%.9f", own[i], since);
        } else {
            (void)snprintf(room[i], sizeof room[i], "%s=%s", own[i], folder);
        }
        all[n++] = room[i];
    }
    if (all) all[n] = NULL;
    return all;
}

/* Begins it with its standard output in `pipe_in`. */
static int begin(const char *recipe, const char *data, const char *folder, int pipe_in, pid_t *child)
{
    char room[sizeof own / sizeof own[0]][600];
    const char *words[16] = {"pumice", "bench", "start", recipe, "--quiet", "--precision", cli.precision};
    size_t n = 7;
    if (data) {
        words[n++] = "--data";
        words[n++] = data;
    }
    char batch[16];
    if (bench_args.batch) {
        (void)snprintf(batch, sizeof batch, "%u", bench_args.batch);
        words[n++] = "--batch";
        words[n++] = batch;
    }
    if (cli.device) {
        words[n++] = "--device";
        words[n++] = cli.device;
    }
    posix_spawn_file_actions_t actions;
    char **environment = child_environment(folder, pm_seconds(), room);
    if (!environment) return ENOMEM;
    int failed = posix_spawn_file_actions_init(&actions);
    if (!failed) {
        failed = posix_spawn_file_actions_adddup2(&actions, pipe_in, STDOUT_FILENO);
        if (!failed)
            failed =
                posix_spawn(child, PROGRAM, &actions, NULL, (char *const *)(uintptr_t)words, environment);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    free(environment);
    return failed;
}

static pm_status start_one(const char *recipe, const char *data, const char *folder, start *out,
                           pm_error *error)
{
    int ends[2], state = 0;
    pid_t child = 0;
    if (pipe(ends) != 0) return pm_fail(error, PM_IO, "a pipe cannot be made: %s", strerror(errno));
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    int failed = begin(recipe, data, folder, ends[1], &child);
    (void)close(ends[1]);
    FILE *said = failed ? NULL : fdopen(ends[0], "r");
    if (!said) (void)close(ends[0]);
    if (failed) return pm_fail(error, PM_IO, "this program cannot be started again: %s", strerror(failed));
    bool told = said && fscanf(said, "%lf %lf", &out->until_step, &out->step) == 2;
    if (said) (void)fclose(said);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    if (told && state == 0) return PM_OK;
    return pm_fail(error, PM_FAILED, "a start of this program failed, see above");
}

/* ---- The caches' folder -------------------------------------------------------------------------------- */

/* Removes what is in a folder, and the folder. */
static void remove_all(const char *path)
{
    char inner[1024];
    struct stat info;
    DIR *stream = opendir(path);
    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner) continue;
        if (stat(inner, &info) == 0 && S_ISDIR(info.st_mode)) {
            remove_all(inner);
        } else {
            (void)remove(inner);
        }
    }
    if (stream) (void)closedir(stream);
    (void)rmdir(path);
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

/* One start, and so no spread: a row that no baseline is asked for. */
static void cold_row(bench_report *report, const char *recipe, const start *one)
{
    bench_figure figures[] = {
        {"beside_step", "s beside a step", one->until_step - one->step, BENCH_NUMBER},
        {"until_first_step", "s to the end of the first step", one->until_step, BENCH_NUMBER},
        {"step", "s a later step", one->step, BENCH_NUMBER},
    };
    char name[140];
    (void)snprintf(name, sizeof name, "start of %.80s, nothing in a cache", recipe);
    bench_report_row(report, "first start", name, NULL, BENCH_FIGURES(figures));
}

static void warm_row(bench_report *report, const char *recipe, const start *starts, uint32_t count)
{
    double beside[WARM_STARTS], until[WARM_STARTS], step[WARM_STARTS];
    bench_timing timing = {0}, to_step = {0}, of_step = {0};
    for (uint32_t i = 0; i < count; i++) {
        beside[i] = starts[i].until_step - starts[i].step;
        until[i] = starts[i].until_step;
        step[i] = starts[i].step;
    }
    bench_timing_from(&timing, beside, count);
    bench_timing_from(&to_step, until, count);
    bench_timing_from(&of_step, step, count);
    bench_figure figures[] = {
        {"until_first_step", "s to the end of the first step", to_step.median, BENCH_NUMBER},
        {"step", "s a later step", of_step.median, BENCH_NUMBER},
    };
    char name[140];
    (void)snprintf(name, sizeof name, "start of %.80s, beside a step", recipe);
    bench_report_row(report, "later start", name, &timing, BENCH_FIGURES(figures));
}

static pm_status measure(const char *recipe, const char *data, const char *folder, bench_report *report,
                         pm_error *error)
{
    start starts[WARM_STARTS];
    uint32_t count = 0, wanted = bench_args.samples < WARM_STARTS ? bench_args.samples : WARM_STARTS;
    pm_status status = start_one(recipe, data, folder, starts, error);
    if (status != PM_OK) return status;
    cold_row(report, recipe, starts);
    if (!cli_stopped()) status = start_one(recipe, data, folder, starts, error);
    while (status == PM_OK && count < wanted && !cli_stopped())
        status = start_one(recipe, data, folder, &starts[count++], error);
    if (status == PM_OK && count > 0) warm_row(report, recipe, starts, count);
    return status;
}

/* As large as the King James Bible, of as many characters. */
static pm_status write_text(const char *path, pm_error *error)
{
    enum { BYTES = 4137850, CHARACTERS = 63 };
    uint32_t state = 1;
    FILE *file = fopen(path, "wb");
    for (uint32_t i = 0; file && i < BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        (void)fputc(i % 133 == 132 ? '\n' : (int)('@' + (state >> 16) % (CHARACTERS - 1)), file);
    }
    if (file && fclose(file) == 0) return PM_OK;
    return pm_fail(error, PM_IO, "%.300s: cannot be written: %s", path, strerror(errno));
}

pm_status bench_start_rows(const char *recipe, const char *data, bench_report *report, pm_error *error)
{
    char folder[400], text[440];
    if (access(PROGRAM, X_OK) != 0) {
        cli_say("starts are left out: this system does not say where a program lies");
        return PM_OK;
    }
    const pm_device_limits none = {0};
    bool limited = memcmp(&cli.limits, &none, sizeof none) != 0;
    if ((cli.off && !getenv("PUMICE_OFF")) || (limited && !getenv("PUMICE_LIMIT"))) {
        return pm_fail(error, PM_BAD_USAGE,
                       "what starts does not know of --off and --limit: set PUMICE_OFF and PUMICE_LIMIT");
    }
    (void)snprintf(folder, sizeof folder, "%.300s/pumice-start-XXXXXX", pm_temporary_folder());
    if (!mkdtemp(folder)) return pm_fail(error, PM_IO, "%s: %s", folder, strerror(errno));
    (void)snprintf(text, sizeof text, "%s/made-up.txt", folder);
    pm_status status = recipe ? PM_OK : write_text(text, error);
    if (status == PM_OK)
        status = measure(recipe ? recipe : "kjv-ar", recipe ? data : text, folder, report, error);
    remove_all(folder);
    return status;
}

#endif

pm_status bench_run_start(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error)
{
    const char *since = getenv(SINCE);
    if (since && count > 1) return be_started(device, words[1], strtod(since, NULL), error);
    return bench_start_rows(count > 1 ? words[1] : NULL, bench_args.data, report, error);
}
