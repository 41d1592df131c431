/* What the tests of files share: a directory of their own, files of given bytes, and random damage. */
#ifndef PM_TESTS_FILE_HELPERS_H
#define PM_TESTS_FILE_HELPERS_H

#include "unit.h"
#include "windows_helpers.h"

#include "base/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static char test_directory[128];

/* For a group's set-up: makes test_directory. */
static inline int make_test_directory(void **state)
{
    const char *place = pm_temporary_folder();
    (void)state;
    if (strlen(place) > sizeof test_directory - 32) return -1;
    (void)snprintf(test_directory, sizeof test_directory, "%s/pumice-test-XXXXXX", place);
    return mkdtemp(test_directory) ? 0 : -1;
}

static inline void remove_tree(const char *path)
{
    DIR *stream = opendir(path);
    if (stream) {
        for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
            char inner[512];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            int length = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            if (length < (int)sizeof inner) remove_tree(inner);
        }
        (void)closedir(stream);
    }
    if (unlink(path) != 0) (void)rmdir(path);
}

/* For a group's tear-down. */
static inline int remove_test_directory(void **state)
{
    (void)state;
    remove_tree(test_directory);
    return 0;
}

/* "test_directory/NAME", in one of a few buffers that are used in turn. */
static inline const char *test_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", test_directory, name);
    return path;
}

/* Plain stdio, so that the code under test does not check itself. */
static inline void put_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline uint8_t *get_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(1 << 22);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 22, file);
    (void)fclose(file);
    return bytes;
}

/* Marsaglia's xorshift64: the same damage in every run. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A damaged copy, from malloc and exactly as large as *new_size, so that a sanitizer sees every step beyond
 * it. */
static inline uint8_t *damaged_copy(const uint8_t *bytes, size_t size, uint64_t *random, size_t *new_size)
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
