/* The command `pumice`: its verbs, the options that all of them take, and the way from a status to an exit
 * code. */
#include "cli.h"
#include "commands.h"
#include "cpu_driver.h"

#include "base/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_verb *const cli_verbs[] = {
    &cli_devices, &cli_check,   &cli_train,   &cli_sample,     &cli_eval,   &cli_bench,
    &cli_inspect, &cli_systems, &cli_recipes, &cli_completion, &cli_manual, NULL,
};

static pm_status parse_limits(const char *from, const char *text, void *value, pm_error *error)
{
    return pm_limits_parse(from, text, value, error);
}

static pm_status parse_off(const char *from, const char *text, void *value, pm_error *error)
{
    return pm_features_parse(from, text, value, error);
}

const cli_option cli_global_options[] = {
    {.name = "device",
     .type = CLI_TEXT,
     .argument = "D",
     .value = &cli.device,
     .help = "which device: its index, a part of its name, the beginning of its UUID, or cpu; without it "
             "$PUMICE_DEVICE, then a GPU before a CPU"},
    {.name = "seed",
     .type = CLI_SEED,
     .argument = "N",
     .value = &cli.seed,
     .given = &cli.seed_given,
     .fallback = "0",
     .environment = "PUMICE_SEED",
     .help = "of everything random; the same seed gives the same result"},
    {.name = "precision",
     .type = CLI_CHOICE,
     .argument = "exact|f32|fast|rounded",
     .value = &cli.precision,
     .given = &cli.precision_given,
     .choices = pm_precision_names,
     .fallback = "exact",
     .environment = "PUMICE_PRECISION",
     .help = "exact: the same bits on every device; f32: as fast as f32 "
             "goes; fast: matrix units multiply in 16 bits, if there are any; rounded: what that does "
             "to the results, on any device and no faster"},
    {.name = "limit",
     .type = CLI_PARSED,
     .argument = "NAME=N,...",
     .value = &cli.limits,
     .parse = parse_limits,
     .environment = "PUMICE_LIMIT",
     .help =
         "pretend a smaller device: storage-range=8MiB,shared=16KiB,invocations=128 ...; `pumice devices` "
         "lists the names"},
    {.name = "off",
     .type = CLI_PARSED,
     .argument = "NAME,...",
     .value = &cli.off,
     .parse = parse_off,
     .environment = "PUMICE_OFF",
     .help = "turn features of the device, or what is only done for speed, off; `pumice devices` lists the "
             "names"},
    {.name = "quiet",
     .letter = 'q',
     .type = CLI_FLAG,
     .value = &cli.quiet,
     .environment = "PUMICE_QUIET",
     .help = "results and errors only"},
    {.name = "json", .type = CLI_FLAG, .value = &cli.json, .help = "the result as JSON on standard output"},
    {.name = "log",
     .type = CLI_TEXT,
     .argument = "FILE",
     .value = &cli.log_path,
     .environment = "PUMICE_LOG",
     .help = "append what happens to FILE, one JSON object a line"},
};
const uint32_t cli_n_global_options = sizeof cli_global_options / sizeof cli_global_options[0];

static void log_start(int argc, char **argv)
{
    json_t *words = json_array();
    for (int i = 1; i < argc; i++) (void)json_array_append_new(words, json_string(argv[i]));
    cli_log_event("start", json_pack("{s:s, s:o}", "version", PM_VERSION, "command", words));
}

static pm_status run(int argc, char **argv, const cli_line *line, pm_error *error)
{
    pm_error ignored;
    cli_use_fast_vectors(); /* before any device; of no use to --help */
    pm_status status = cli.log_path ? cli_log_open(cli.log_path, &cli.log, error) : PM_OK;
    if (status != PM_OK) return status;
    log_start(argc, argv);
    status = line->verb->run(line->n_arguments, line->arguments, error);
    cli_log_event("end", json_pack("{s:i, s:s}", "status", (int)status, "message",
                                   status == PM_OK ? "" : error->message));
    pm_status closed = cli_log_close(cli.log, status == PM_OK ? error : &ignored);
    return status == PM_OK ? closed : status;
}

int main(int argc, char **argv)
{
    pm_plain_output();
    pm_error error = {0};
    cli_line line;
    const char **room = calloc((size_t)argc + 1, sizeof *room);
    pm_status status = room ? cli_parse(argc, argv, room, &line, &error)
                            : pm_fail(&error, PM_NO_MEMORY, "out of host memory");
    if (status == PM_OK) {
        if (line.version) {
            puts("pumice " PM_VERSION);
        } else if (line.help) {
            cli_help(line.verb);
        } else if (!line.verb) {
            status = pm_fail(&error, PM_BAD_USAGE, "no verb; `pumice --help` lists them");
        } else {
            status = run(argc, argv, &line, &error);
        }
    }
    if (fflush(stdout) != 0 && status == PM_OK)
        status = pm_fail(&error, PM_IO, "standard output cannot be written");
    /* A check that failed has said so on standard output, and leaves no message. */
    if (status != PM_OK && error.message[0]) fprintf(stderr, "pumice: %s\n", error.message);
    free(room);
    return (int)status;
}
