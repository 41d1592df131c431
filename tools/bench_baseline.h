/* Earlier results of `pumice bench`, and whether a new one differs from them. */
#ifndef PM_TOOLS_BENCH_BASELINE_H
#define PM_TOOLS_BENCH_BASELINE_H

#include "base/status.h"

#include <jansson.h>

/* A quantity of which less is better, as it was measured: seconds, or bytes. `median` is 0 where there is
 * nothing to compare. */
typedef struct bench_cost {
    double median, least, most;
} bench_cost;

typedef enum bench_verdict {
    BENCH_UNKNOWN, /* the baseline has no such row */
    BENCH_SAME,
    BENCH_BETTER,
    BENCH_WORSE,
} bench_verdict;

/* Beyond the spread: not one of the new measurements lies where the old ones do. Everything else is the
 * same. */
bench_verdict bench_compare(bench_cost old, bench_cost now);

/* "", "", "faster", "SLOWER"; of memory "smaller" and "LARGER". */
const char *bench_verdict_word(bench_verdict verdict, bool memory);

/* Reads what `--json` has printed. The caller releases *out with json_decref. Fails with PM_IO, PM_BAD_FILE
 * (it is no such result, or a row of it is not as they are written), PM_NO_MEMORY. */
pm_status bench_baseline_open(const char *path, json_t **out, pm_error *error);

/* The cost in its row of that name (the first); median 0 where there is none. */
bench_cost bench_baseline_find(const json_t *baseline, const char *name);

/* A text of the result, "device", "driver" or "precision"; "" where there is none. */
const char *bench_baseline_text(const json_t *baseline, const char *key);

/* The cost of a row: "seconds" with "least" and "most", or "bytes". False where they are not numbers of that
 * kind; a row of neither has the cost 0. */
bool bench_row_cost(const json_t *row, bench_cost *out);

#endif
