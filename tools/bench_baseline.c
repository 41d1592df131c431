/* Earlier results; see bench_baseline.h. */
#include "bench_baseline.h"

#include "files/file_error.h"
#include "files/file_io.h"
#include "files/json_util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20 };

bench_verdict bench_compare(bench_cost old, bench_cost now)
{
    if (!(old.median > 0) || !(now.median > 0)) return BENCH_UNKNOWN;
    if (now.least > old.most) return BENCH_WORSE;
    if (now.most < old.least) return BENCH_BETTER;
    return BENCH_SAME;
}

const char *bench_verdict_word(bench_verdict verdict, bool memory)
{
    if (verdict == BENCH_BETTER) return memory ? "smaller" : "faster";
    if (verdict == BENCH_WORSE) return memory ? "LARGER" : "SLOWER";
    return "";
}

/* A finite number above 0. */
static bool amount(const json_t *row, const char *key, double *out)
{
    const json_t *value = json_object_get(row, key);
    *out = json_number_value(value);
    return json_is_number(value) && isfinite(*out) && *out > 0;
}

bool bench_row_cost(const json_t *row, bench_cost *out)
{
    bench_cost cost = {0};
    if (json_object_get(row, "seconds")) {
        if (!amount(row, "seconds", &cost.median) || !amount(row, "least", &cost.least) ||
            !amount(row, "most", &cost.most) || cost.least > cost.median || cost.median > cost.most)
            return false;
    } else if (json_object_get(row, "bytes")) {
        if (!amount(row, "bytes", &cost.median)) return false;
        cost.least = cost.most = cost.median;
    }
    *out = cost;
    return true;
}

static pm_status check(const char *path, const json_t *result, pm_error *error)
{
    const json_t *rows = json_object_get(result, "results");
    if (!json_is_array(rows))
        return pm_fail_at(error, PM_BAD_FILE, path, "no result of `pumice bench --json`");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        bench_cost cost;
        const json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(json_object_get(row, "name"));
        if (!name) return pm_fail_at(error, PM_BAD_FILE, path, "result %zu has no name", i);
        if (!bench_row_cost(row, &cost))
            return pm_fail_at(error, PM_BAD_FILE, path, "\"%.80s\" has no proper measurement", name);
    }
    return PM_OK;
}

pm_status bench_baseline_open(const char *path, json_t **out, pm_error *error)
{
    const pm_json_limits limits = {.depth = 8, .values = 1 << 20};
    uint8_t *bytes = NULL;
    size_t size = 0;
    *out = NULL;
    pm_status status = pm_read_file(path, MOST_BYTES, &bytes, &size, error);
    if (status == PM_OK) status = pm_json_parse(bytes, size, &limits, path, out, error);
    free(bytes);
    if (status == PM_OK) status = check(path, *out, error);
    if (status != PM_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

bench_cost bench_baseline_find(const json_t *baseline, const char *name)
{
    const json_t *rows = json_object_get(baseline, "results");
    bench_cost cost = {0};
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(json_string_value(json_object_get(row, "name")), name) != 0) continue;
        if (bench_row_cost(row, &cost)) return cost;
    }
    return (bench_cost){0};
}

const char *bench_baseline_text(const json_t *baseline, const char *key)
{
    const char *text = json_string_value(json_object_get(baseline, key));
    return text ? text : "";
}
