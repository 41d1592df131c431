/* Pretended limits; see limits.h. */
#include "device/limits.h"

#include "base/checked.h"
#include "base/status.h"
#include "base/words.h"

#include <stdio.h>
#include <string.h>

typedef enum limit_kind { BYTES, COUNT, POWER, TILE } limit_kind;

/* `least`: what the kernels need, which is what Vulkan guarantees where it guarantees anything useful. */
typedef struct limit_row {
    const char *name;
    limit_kind kind;
    size_t at; /* in pm_device_limits */
    uint64_t least, most;
    const char *about;
} limit_row;

#define AT(field) offsetof(pm_device_limits, field)

static const limit_row rows[] = {
    {"storage-range", BYTES, AT(storage_range), 4096, UINT64_MAX,
     "bytes that one binding has, of a storage buffer or a texel view (Vulkan's least: 128MiB)"},
    {"shared", BYTES, AT(shared), 16384, UINT32_MAX,
     "bytes of shared memory of a workgroup (Vulkan's least: 16KiB)"},
    {"invocations", COUNT, AT(invocations), 128, UINT32_MAX,
     "invocations of a workgroup (Vulkan's least: 128)"},
    {"groups", COUNT, AT(groups), 65535, UINT32_MAX, "workgroups along an axis (Vulkan's least: 65535)"},
    {"texels", COUNT, AT(texels), 65536, UINT64_MAX, "elements of a texel view (Vulkan's least: 65536)"},
    {"memory", BYTES, AT(memory), 1u << 20, UINT64_MAX, "bytes of device memory"},
    {"allocation", BYTES, AT(allocation), 1u << 16, UINT64_MAX, "bytes of one allocation"},
    {"submit", COUNT, AT(submit), 1, 1000,
     "milliseconds that one submit aims for; however work is split, results are the same"},
    {"tile", TILE, AT(tile), 0, 0,
     "ROWSxCOLUMNS: the tile of every product and convolution, 4 to 64 rows, a multiple of 4, and 1 to 8 "
     "vectors, at most 64 in all"},
    {"subgroup", POWER, AT(subgroup), 1, 128,
     "invocations of every kernel's subgroups, a power of two that the device lets be asked for"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

const char *pm_limit_name(uint32_t i, const char **about)
{
    if (i >= ROWS) return NULL;
    *about = rows[i].about;
    return rows[i].name;
}

static uint64_t *value_of(pm_device_limits *limits, const limit_row *row)
{
    return (uint64_t *)(void *)((char *)limits + row->at);
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

/* Digits at the beginning of *text, which then points behind them. */
static bool read_number(const char **text, uint64_t *out)
{
    size_t value = 0;
    if (**text < '0' || **text > '9') return false;
    for (; **text >= '0' && **text <= '9'; ++*text) {
        if (!pm_mul_size(value, 10, &value) || !pm_add_size(value, (size_t)(**text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static bool read_size(const char *text, uint64_t *out)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    uint64_t number;
    size_t bytes;
    if (!read_number(&text, &number)) return false;
    for (uint32_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text, units[i]) != 0) continue;
        if (!pm_mul_size((size_t)number, (size_t)1 << 10 * i, &bytes)) return false;
        *out = bytes;
        return true;
    }
    return false;
}

static bool read_tile(const char *text, uint64_t tile[2])
{
    if (!read_number(&text, &tile[0]) || *text++ != 'x' || !read_number(&text, &tile[1]) || *text)
        return false;
    return tile[0] >= 4 && tile[0] <= 64 && tile[0] % 4 == 0 && tile[1] >= 1 && tile[1] <= 8 &&
           tile[0] * tile[1] <= 64;
}

static const char *size_text(uint64_t bytes, char *buffer, size_t size)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    uint32_t unit = 0;
    while (unit < 3 && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(buffer, size, "%llu%s", (unsigned long long)bytes, units[unit]);
    return buffer;
}

static const char *amount_text(const limit_row *row, const uint64_t *value, char *buffer, size_t size)
{
    if (row->kind == BYTES) return size_text(*value, buffer, size);
    if (row->kind == TILE) {
        (void)snprintf(buffer, size, "%ux%u", (unsigned)value[0], (unsigned)value[1]);
    } else {
        (void)snprintf(buffer, size, "%llu", (unsigned long long)*value);
    }
    return buffer;
}

static pm_status read_value(const char *from, const limit_row *row, const char *text,
                            pm_device_limits *limits, pm_error *error)
{
    char bound[32];
    uint64_t *value = value_of(limits, row), tile[2], read = 0;
    if (row->kind == TILE) {
        if (!read_tile(text, tile)) {
            return pm_fail(error, PM_BAD_USAGE,
                           "%s: tile must be rows (4 to 64, a multiple of 4) x vectors (1 to 8), in all at "
                           "most 64, such as 16x2, "
                           "not \"%.40s\"",
                           from, text);
        }
        memcpy(value, tile, sizeof tile);
        return PM_OK;
    }
    const char *rest = text;
    bool ok = row->kind == BYTES ? read_size(text, &read) : read_number(&rest, &read) && !*rest;
    if (!ok) {
        return pm_fail(error, PM_BAD_USAGE, "%s: %s must be %s, not \"%.40s\"", from, row->name,
                       row->kind == BYTES ? "a size such as 65536, 64KiB, 8MiB or 1GiB" : "a whole number",
                       text);
    }
    if (row->kind == POWER && (read & (read - 1))) {
        return pm_fail(error, PM_BAD_USAGE, "%s: %s must be a power of two, not %.40s", from, row->name,
                       text);
    }
    if (read < row->least || read > row->most) {
        bool small = read < row->least;
        return pm_fail(error, PM_BAD_USAGE, "%s: %s must be at %s %s, not %.40s", from, row->name,
                       small ? "least" : "most",
                       amount_text(row, small ? &row->least : &row->most, bound, sizeof bound), text);
    }
    *value = read;
    return PM_OK;
}

static pm_status read_one(const char *from, const char *text, pm_device_limits *limits, pm_error *error)
{
    const char *equals = strchr(text, '=');
    char name[64];
    pm_nearest nearest = {.word = name};
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals ? equals - text : 60), text);
    for (uint32_t i = 0; i < ROWS; i++) {
        pm_nearest_try(&nearest, rows[i].name);
        if (nearest.distance > 0) continue;
        if (equals) return read_value(from, &rows[i], equals + 1, limits, error);
        return pm_fail(error, PM_BAD_USAGE, "%s: %s needs a value: %s=...", from, name, name);
    }
    return pm_fail(error, PM_BAD_USAGE, "%s: no limit \"%s\"; did you mean %s? `pumice devices` lists them",
                   from, name, nearest.best);
}

pm_status pm_limits_parse(const char *from, const char *text, pm_device_limits *limits, pm_error *error)
{
    char one[100];
    pm_status status = PM_OK;
    while (status == PM_OK && pm_word_next(&text, one, sizeof one))
        status = read_one(from, one, limits, error);
    return status;
}

/* ---- Pretending ---------------------------------------------------------------------------------------- */

pm_device_limits pm_limits_merge(const pm_device_limits *first, const pm_device_limits *second)
{
    pm_device_limits merged = *first, other = *second;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint64_t *to = value_of(&merged, &rows[i]), *from = value_of(&other, &rows[i]);
        if (*to == 0) memcpy(to, from, (rows[i].kind == TILE ? 2 : 1) * sizeof *to);
    }
    return merged;
}

const char *pm_limits_text(const pm_device_limits *limits, char *buffer, size_t size)
{
    pm_device_limits copy = *limits;
    size_t used = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < ROWS; i++) {
        char amount[32];
        const uint64_t *value = value_of(&copy, &rows[i]);
        if (*value == 0) continue;
        int length = snprintf(buffer + used, size - used, "%s%s=%s", used ? ", " : "", rows[i].name,
                              amount_text(&rows[i], value, amount, sizeof amount));
        if (length < 0 || (size_t)length >= size - used) break;
        used += (size_t)length;
    }
    return buffer;
}

/* A size that the device lets be asked for, or has anyway. Matrix units that take the usual one take it, too.
 */
static pm_status apply_subgroup(uint64_t size, pm_device_facts *facts, pm_error *error)
{
    const uint32_t *sizes = facts->subgroup_sizes;
    uint32_t usual = facts->subgroup_size;
    bool can = facts->subgroups_asked && size >= sizes[0] && size <= sizes[1];
    bool has = size == usual && sizes[0] == sizes[1];
    if (size == 0) return PM_OK;
    if (!can && !has) {
        if (facts->subgroups_asked)
            return pm_fail(error, PM_BAD_USAGE,
                           "limit subgroup=%llu: subgroups of %s have %u to %u invocations",
                           (unsigned long long)size, facts->name, sizes[0], sizes[1]);
        return pm_fail(error, PM_BAD_USAGE,
                       "limit subgroup=%llu: no size can be asked for of %s, which has %u",
                       (unsigned long long)size, facts->name, usual);
    }
    if (facts->matrix_subgroup == usual) facts->matrix_subgroup = (uint32_t)size;
    facts->subgroup_size = (uint32_t)size;
    return PM_OK;
}

pm_status pm_limits_apply(const pm_device_limits *limits, pm_device_facts *facts, pm_error *error)
{
    uint64_t own[ROWS] = {facts->max_storage_range,
                          facts->max_shared_bytes,
                          facts->max_invocations,
                          facts->max_groups[0],
                          facts->max_texel_elements,
                          facts->memory_bytes,
                          facts->max_allocation,
                          1000,
                          UINT64_MAX,
                          UINT64_MAX};
    pm_device_limits copy = *limits;
    for (uint32_t i = 0; i < ROWS; i++) {
        char asked[32], has[32];
        const uint64_t *value = value_of(&copy, &rows[i]);
        if (*value > own[i]) {
            return pm_fail(error, PM_BAD_USAGE, "limit %s=%s is above what %s has: %s", rows[i].name,
                           amount_text(&rows[i], value, asked, sizeof asked), facts->name,
                           amount_text(&rows[i], &own[i], has, sizeof has));
        }
        if (*value) own[i] = *value;
    }
    facts->max_storage_range = own[0];
    facts->max_shared_bytes = (uint32_t)own[1];
    facts->max_invocations = (uint32_t)own[2];
    for (uint32_t axis = 0; axis < 3; axis++) {
        if (facts->max_groups[axis] > own[3]) facts->max_groups[axis] = (uint32_t)own[3];
    }
    facts->max_texel_elements = own[4];
    facts->memory_bytes = own[5];
    facts->max_allocation = own[6];
    return apply_subgroup(limits->subgroup, facts, error);
}
