/* What the tests of files share: a directory of their own, files of given bytes, and random damage. */
#ifndef PM_TESTS_FILE_HELPERS_H
#define PM_TESTS_FILE_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

#if defined(__GNUC__)
#define MAYBE_UNUSED __attribute__((unused))
#else
#define MAYBE_UNUSED
#endif

static char test_directory[64];

/* For a group's set-up: makes test_directory. */
MAYBE_UNUSED static int make_test_directory(void **state)
{
    (void)state;
    strcpy(test_directory, "/tmp/pumice-test-XXXXXX");
    return mkdtemp(test_directory) ? 0 : -1;
}

MAYBE_UNUSED static void remove_tree(const char *path)
{
    DIR *stream = opendir(path);
    if (stream) {
        for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
            char inner[512];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            remove_tree(inner);
        }
        (void)closedir(stream);
    }
    (void)remove(path);
}

/* For a group's tear-down. */
MAYBE_UNUSED static int remove_test_directory(void **state)
{
    (void)state;
    remove_tree(test_directory);
    return 0;
}

/* "test_directory/NAME", in one of a few buffers that are used in turn. */
MAYBE_UNUSED static const char *test_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", test_directory, name);
    return path;
}

/* Plain stdio, so that the code under test does not check itself. */
MAYBE_UNUSED static void put_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

MAYBE_UNUSED static uint8_t *get_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(1 << 22);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 22, file);
    (void)fclose(file);
    return bytes;
}

/* Fails the test unless `status` is `wanted` and the message is one line that contains `part`. */
MAYBE_UNUSED static void expect_failure(pm_status status, pm_status wanted, const pm_error *error,
                                        const char *part)
{
    if (status != wanted || !strstr(error->message, part)) {
        fail_msg("wanted status %d and '...%s...', got status %d and '%s'", (int)wanted, part, (int)status,
                 status == PM_OK ? "" : error->message);
    }
    assert_int_equal(error->status, wanted);
    assert_null(strchr(error->message, '\n'));
}

/* Fails the test unless it is PM_OK; shows the message otherwise. */
MAYBE_UNUSED static void expect_ok(pm_status status, const pm_error *error)
{
    if (status != PM_OK) fail_msg("status %d: %s", (int)status, error->message);
}

/* Marsaglia's xorshift64: the same damage in every run. */
MAYBE_UNUSED static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A damaged copy, from malloc and exactly as large as *new_size, so that a sanitizer sees every step beyond
 * it. */
MAYBE_UNUSED static uint8_t *damaged_copy(const uint8_t *bytes, size_t size, uint64_t *random,
                                          size_t *new_size)
{
    static const uint8_t extremes[] = {0x00, 0xff, 0x7f, 0x80, '"', '{', '[', ']', '9', '-', '\\', ','};
    uint8_t *work = malloc(2 * size + 8);
    assert_non_null(work);
    memcpy(work, bytes, size);
    size_t now = size;
    for (uint64_t edits = 1 + next_random(random) % 3; edits > 0 && now > 0; edits--) {
        size_t at = next_random(random) % now, length = 1 + next_random(random) % 8;
        if (length > now - at) length = now - at;
        switch (next_random(random) % 6) {
        case 0:
            work[at] ^= (uint8_t)(1u << next_random(random) % 8);
            break;
        case 1:
            work[at] = extremes[next_random(random) % sizeof extremes];
            break;
        case 2:
            now = at;
            break; /* cut off */
        case 3:
            memmove(work + at, work + at + length, now - at - length), now -= length;
            break; /* remove */
        case 4:    /* repeat */
            if (now + length > 2 * size) break;
            memmove(work + at + length, work + at, now - at);
            now += length;
            break;
        default:
            memset(work + at, (int)(next_random(random) & 0xff), length);
            break;
        }
    }
    uint8_t *exact = malloc(now ? now : 1);
    assert_non_null(exact);
    memcpy(exact, work, now);
    free(work);
    *new_size = now;
    return exact;
}

#endif
