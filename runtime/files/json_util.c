/* JSON from untrusted files; see json_util.h. */
#include "files/json_util.h"

#include "files/file_error.h"

#include <string.h>

/* Where the string that begins at text[at] (a quote) ends: the index of its closing quote, or `size`. */
static size_t skip_string(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++) {
        if (text[at] == '\\') at++;
    }
    return at < size ? at : size;
}

/* Looks only at what the parser's memory and stack depend on; whether it is JSON at all the parser says
 * afterwards. */
static pm_status check_limits(const char *text, size_t size, const pm_json_limits *limits, const char *where,
                              pm_error *error)
{
    uint32_t depth = 0, values = 0;
    for (size_t at = 0; at < size; at++) {
        switch (text[at]) {
        case '"':
            at = skip_string(text, size, at);
            break;
        case '{':
        case '[':
            if (++depth > limits->depth) {
                return pm_fail_at(error, PM_BAD_FILE, where, "its JSON is nested deeper than %u levels",
                                  limits->depth);
            }
            values++;
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
        case ':':
            values++;
            break;
        default:
            if (limits->naturals && !strchr(" \t\r\n0123456789", text[at])) {
                return pm_fail_at(
                    error, PM_BAD_FILE, where,
                    "its JSON has a value that is neither text nor a whole number >= 0 at byte %zu", at);
            }
        }
        if (values > limits->values) {
            return pm_fail_at(error, PM_BAD_FILE, where, "its JSON has more than %u values", limits->values);
        }
    }
    return PM_OK;
}

pm_status pm_json_parse(const void *bytes, size_t size, const pm_json_limits *limits, const char *where,
                        json_t **out, pm_error *error)
{
    *out = NULL;
    pm_status status = check_limits(bytes, size, limits, where, error);
    if (status != PM_OK) return status;
    json_error_t reason;
    *out = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &reason);
    if (*out) return PM_OK;
    if (json_error_code(&reason) == json_error_out_of_memory) return pm_fail_memory(error, where);
    return pm_fail_at(error, PM_BAD_FILE, where, "its JSON is malformed at line %d, column %d: %s",
                      reason.line, reason.column, reason.text);
}

bool pm_json_natural(const json_t *value, uint64_t max, uint64_t *out)
{
    if (!json_is_integer(value)) return false;
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number > max) return false;
    *out = (uint64_t)number;
    return true;
}
