/* JSON from untrusted files: jansson behind limits that keep a small file from costing much memory or
 * stack. */
#ifndef PM_FILES_JSON_UTIL_H
#define PM_FILES_JSON_UTIL_H

#include "base/status.h"

#include <jansson.h>

typedef struct pm_json_limits {
    uint32_t depth;  /* of nested objects and arrays; at most 1000 */
    uint32_t values; /* of all values together, roughly: commas, colons and opening brackets are counted */
    bool naturals;   /* of numbers and literals only whole numbers >= 0: no sign, fraction, true, null */
} pm_json_limits;

/* Parses one JSON value of `size` bytes, which may be surrounded by white space only. UTF-8 is checked, and
 * duplicate keys, NUL characters in strings and integers beyond 63 bits are refused. `where` (a path) begins
 * messages. The caller releases *out with json_decref. Fails with PM_BAD_FILE. */
pm_status pm_json_parse(const void *bytes, size_t size, const pm_json_limits *limits, const char *where,
                        json_t **out, pm_error *error);

/* A whole number from 0 to `max`: false when `value` is NULL or anything else. */
bool pm_json_natural(const json_t *value, uint64_t max, uint64_t *out);

#endif
