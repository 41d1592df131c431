/* Settings of Mesa's CPU driver; see cpu_driver.h. */
#include "cpu_driver.h"

#include "base/posix.h"
#include "device/cache_file.h"
#include "files/file_io.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <glob.h>
#endif

#define THREADS "LP_NUM_THREADS"
#define WIDTH "LP_NATIVE_VECTOR_WIDTH"

static bool set_if_unset(const char *name, const char *value)
{
#ifdef _WIN32
    (void)name; /* Mesa's CPU driver is not what is found there */
    (void)value;
    return false;
#else
    return !getenv(name) && setenv(name, value, 0) == 0;
#endif
}

bool cli_has_wide_vectors(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

#ifndef _WIN32

/* Whether a driver's manifest says that it has Vulkan 1.4 or later. */
static bool is_new(const char *manifest)
{
    enum { MOST_BYTES = 65536 };
    uint8_t *data = NULL;
    size_t size = 0;
    unsigned major = 0, minor = 0;
    if (pm_read_file(manifest, MOST_BYTES, &data, &size, NULL) != PM_OK) return false;
    json_t *root = json_loadb((const char *)data, size, 0, NULL);
    const char *version = json_string_value(json_object_get(json_object_get(root, "ICD"), "api_version"));
    bool read = version && sscanf(version, "%u.%u", &major, &minor) == 2;
    json_decref(root);
    free(data);
    return read && (major > 1 || minor >= 4);
}

/* The same of any manifest of Mesa's CPU driver that matches the pattern. */
static bool any_is_new(const char *pattern)
{
    glob_t found = {0};
    bool any = false;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *slash = strrchr(found.gl_pathv[i], '/');
            const char *name = slash ? slash + 1 : found.gl_pathv[i];
            any = any || (strncmp(name, "lvp_icd", 7) == 0 && is_new(found.gl_pathv[i]));
        }
    }
    globfree(&found);
    return any;
}

/* The same of any that lies at a place of the list, "a:b:c", or behind it: `below` is added to each. */
static bool listed_is_new(const char *list, const char *below)
{
    bool any = false;
    for (const char *at = list; *at;) {
        char pattern[1000];
        size_t length = strcspn(at, ":");
        int written =
            snprintf(pattern, sizeof pattern, "%.*s%s", (int)(length < 900 ? length : 0), at, below);
        any = any || (written > 0 && any_is_new(pattern));
        at += length + (at[length] == ':');
    }
    return any;
}

/* What the loader would find. */
static bool driver_is_new(void)
{
    const char *files = getenv("VK_DRIVER_FILES"), *data = getenv("XDG_DATA_DIRS");
    if (!files) files = getenv("VK_ICD_FILENAMES");
    if (files) return listed_is_new(files, "");
    if (!data || !*data) data = "/usr/local/share:/usr/share";
    return any_is_new("/etc/vulkan/icd.d/lvp_icd*.json") ||
           listed_is_new(data, "/vulkan/icd.d/lvp_icd*.json");
}

/* Mesa 25.0 keeps what it compiled to fetch texels for all widths of vectors together, and takes what is of
 * another: results are wrong then, or the process ends. So each width that is asked for has a folder. */
static void keep_widths_apart(void)
{
    const char *width = getenv(WIDTH);
    char folder[PM_CACHE_PATH];
    if (!width || !*width || strspn(width, "0123456789") != strlen(width) || strlen(width) > 8) return;
    if (!pm_cache_folder(folder)) return;
    strcat(strcat(folder, "/vectors-"), width);
    (void)set_if_unset("MESA_SHADER_CACHE_DIR", folder);
}

void cli_use_fast_vectors(void)
{
    if (cli_has_wide_vectors() && driver_is_new()) (void)set_if_unset(WIDTH, "512");
    keep_widths_apart();
}

#else

void cli_use_fast_vectors(void)
{
}

#endif

/* On two cores a token of a model of 0.8 million parameters takes 0.65 ms without threads and 2.1 ms with
 * two, of 6.6 million 3.3 and 7.0: to hand its dispatches, seventy and more, over to them takes 2 to 4 ms. */
bool cli_use_few_threads(uint64_t parameters, uint64_t texts)
{
    const uint64_t most = 8000000;
    return texts > 0 && parameters <= most / texts && set_if_unset(THREADS, "0");
}

void cli_use_many_threads(void)
{
#ifndef _WIN32
    (void)unsetenv(THREADS);
#endif
}
