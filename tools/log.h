/* Logs of JSON lines: one object a line, written as it happens. */
#ifndef PM_TOOLS_LOG_H
#define PM_TOOLS_LOG_H

#include "base/status.h"

#include <jansson.h>

typedef struct cli_log cli_log;

/* Opens a log to append to. Fails with PM_IO, PM_NO_MEMORY. */
pm_status cli_log_open(const char *path, cli_log **out, pm_error *error);

/* Appends one object as a line; takes `object` over. NULL for either is accepted and does nothing. */
void cli_log_write(cli_log *log, json_t *object);

/* Closes it; PM_IO when anything could not be written. NULL is accepted. */
pm_status cli_log_close(cli_log *log, pm_error *error);

/* Calls `line` for each object of a log that was written by these functions. A last line that a crash has cut
 * off is left out. Fails with PM_IO, PM_BAD_FILE. */
pm_status cli_log_read(const char *path, void (*line)(void *user, const json_t *object), void *user,
                       pm_error *error);

/* A number for JSON: null where it is not finite, which JSON cannot say. */
json_t *cli_real(double value);

/* Prints an object to standard output, over several lines, and releases it. */
void cli_print_json(json_t *object);

#endif
