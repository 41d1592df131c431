/* What the verbs share: the global options, the device, where files are found, interruption, results. */
#ifndef PM_TOOLS_CLI_H
#define PM_TOOLS_CLI_H

#include "data/dataset.h"
#include "log.h"
#include "options.h"
#include "progress.h"
#include "pumice_models.h"
#include "recipes/recipe.h"
#include "text/corpus.h"

typedef struct cli_globals {
    const char *device; /* NULL: the rule */
    pm_device_limits limits;
    uint64_t off;          /* bits PM_BIT(pm_feature) */
    const char *precision; /* one of pm_precision_names */
    uint64_t seed;
    bool seed_given, precision_given, quiet, json;
    const char *log_path;
    cli_log *log; /* of --log, or NULL */
} cli_globals;

extern cli_globals cli;

/* What the options say of the device. */
pm_device_options cli_device_options(void);

/* Opens the device that the options ask for, and says which it is. The caller closes it. */
pm_status cli_open_device(pm_device **out, pm_error *error);

pm_precision cli_precision(void);

/* A model file by its path, or by the name of one that comes with Pumice ("fashion-small"); looked for where
 * Pumice is installed, then in the source tree. PM_IO when there is neither. */
pm_status cli_find_model(const char *name, char *path, size_t size, pm_error *error);

/* cli_find_model and pm_model_open. */
pm_status cli_open_model(const char *name, pm_model **out, pm_error *error);

/* Opens one split of the data that the recipe names; `directory` (or NULL) replaces it. The caller closes
 * it. */
pm_status cli_open_data(const pm_recipe *recipe, const char *directory, pm_split split, pm_dataset **out,
                        pm_error *error);

/* Opens the text that the recipe names, split and tokenized, and fits the recipe to it. The caller closes it,
 * also after a failure. */
pm_status cli_open_text(pm_recipe *recipe, pm_corpus *out, pm_error *error);

/* From now on SIGINT and SIGTERM only make cli_stopped() true; the second one ends the program as usual. */
void cli_catch_signals(void);
bool cli_stopped(void);

/* Makes a directory and those above it. PM_IO. */
pm_status cli_make_directory(const char *path, pm_error *error);
/* PM_IO or PM_BAD_USAGE when `path` could not be written: better known before the work than after. */
pm_status cli_check_writable(const char *path, pm_error *error);
bool cli_file_exists(const char *path);

/* For functions that describe something line by line: prints it to standard output. */
void cli_print_line(void *user, const char *text);

/* An object {"event": name, "time": ...} with the members of `more` (taken over, may be NULL) into --log. */
void cli_log_event(const char *name, json_t *more);

/* The result of a verb: into --log, and with --json to standard output. Takes `result` over. */
void cli_result(json_t *result);

#endif
