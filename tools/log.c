/* The log of --log, one JSON object a line; see log.h. */
#include "log.h"

#include "files/file_error.h"
#include "files/file_io.h"
#include "files/json_util.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 9, LARGEST_LOG = 1 << 28 };

struct cli_log {
    FILE *file;
    char *path;
    bool failed;
};

pm_status cli_log_open(const char *path, cli_log **out, pm_error *error)
{
    *out = NULL;
    cli_log *log = calloc(1, sizeof *log);
    if (log) log->path = strdup(path);
    if (!log || !log->path) {
        free(log);
        return pm_fail_memory(error, path);
    }
    log->file = fopen(path, "ab");
    if (!log->file) {
        free(log->path);
        free(log);
        return pm_fail_at(error, PM_IO, path, "cannot be written: %s", strerror(errno));
    }
    *out = log;
    return PM_OK;
}

void cli_log_write(cli_log *log, json_t *object)
{
    char *text = log && object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS)) : NULL;
    if (log && object) log->failed |= !text || fprintf(log->file, "%s\n", text) < 0 || fflush(log->file) != 0;
    free(text);
    json_decref(object);
}

pm_status cli_log_close(cli_log *log, pm_error *error)
{
    if (!log) return PM_OK;
    bool failed = fclose(log->file) != 0 || log->failed;
    pm_status status =
        failed ? pm_fail_at(error, PM_IO, log->path, "not all of the log could be written") : PM_OK;
    free(log->path);
    free(log);
    return status;
}

pm_status cli_log_read(const char *path, void (*line)(void *user, const json_t *object), void *user,
                       pm_error *error)
{
    static const pm_json_limits limits = {.depth = 8, .values = 1000};
    uint8_t *bytes;
    size_t size;
    pm_status status = pm_read_file(path, LARGEST_LOG, &bytes, &size, error);
    if (status != PM_OK) return status;
    for (size_t at = 0; status == PM_OK && at < size;) {
        const uint8_t *end = memchr(bytes + at, '\n', size - at);
        if (!end) break;
        json_t *object;
        status = pm_json_parse(bytes + at, (size_t)(end - bytes) - at, &limits, path, &object, error);
        if (status == PM_OK) {
            line(user, object);
            json_decref(object);
        }
        at = (size_t)(end - bytes) + 1;
    }
    free(bytes);
    return status;
}

json_t *cli_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

void cli_print_json(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS)) : NULL;
    if (text) puts(text);
    free(text);
    json_decref(object);
}
