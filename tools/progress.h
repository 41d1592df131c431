/* Talk on stderr: lines, and the progress of long work. A terminal gets a bar with rate and time left;
 * anything else gets a plain line every ten seconds; --quiet gets nothing. */
#ifndef PM_TOOLS_PROGRESS_H
#define PM_TOOLS_PROGRESS_H

#include "base/status.h"

typedef struct cli_progress {
    const char *what, *unit; /* "training", "steps" */
    uint64_t total, first;   /* first: done before this began */
    double deadline;         /* cli_seconds() at which the work ends anyhow; 0: none */
    double start, updated, shown, rate;
    uint64_t counted;
} cli_progress;

/* Seconds of a clock that only goes forward. */
double cli_seconds(void);

/* Writes one line to stderr, unless --quiet. */
void cli_say(const char *format, ...) PM_PRINTF(1, 2);

void cli_progress_begin(cli_progress *progress, const char *what, const char *unit, uint64_t first,
                        uint64_t total);
/* Tells how much is done; shows it when it is time. `extra` (or NULL) is appended. */
void cli_progress_update(cli_progress *progress, uint64_t done, const char *extra);
/* Says that the time since the last update went into something else, which is to be left out of the rate. */
void cli_progress_skip(cli_progress *progress);
/* Removes the bar. */
void cli_progress_end(cli_progress *progress);
/* Seconds since it began. */
double cli_progress_seconds(const cli_progress *progress);

/* "1:02:03" or "4:05". */
const char *cli_duration(double seconds, char *buffer, size_t size);
/* "12.3 MiB". */
const char *cli_size(uint64_t bytes, char *buffer, size_t size);

#endif
