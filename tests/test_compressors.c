/* The system's compressors as marks for language models, and the count of characters. Commands that behave
 * badly are scripts in a folder that PATH names. */
/* ctest labels: posix (the library starts no programs on Windows) */
#include "file_helpers.h"

#include "text/compressors.h"

#include <math.h>
#include <signal.h>
#include <zlib.h>

static char path_before[4096];

static int set_up(void **state)
{
    const char *path = getenv("PATH");
    (void)snprintf(path_before, sizeof path_before, "%s", path ? path : "");
    return make_test_directory(state);
}

/* For a test's tear-down. */
static int restore_path(void **state)
{
    (void)state;
    return setenv("PATH", path_before, 1);
}

/* Bytes of little entropy, from the words of a small vocabulary. */
static uint8_t *make_words(size_t size)
{
    static const char *const words[] = {"and ",  "the ",  "king ",   "said ",
                                        "unto ", "him, ", "go up\n", "Lord "};
    uint8_t *data = malloc(size + 8);
    uint64_t random = 88172645463325252u;
    assert_non_null(data);
    for (size_t at = 0; at < size;) {
        const char *word = words[next_random(&random) % 8];
        memcpy(data + at, word, strlen(word));
        at += strlen(word);
    }
    return data;
}

static void compress_ok(const uint8_t *data, size_t size, pm_compressed out[PM_COMPRESSORS])
{
    pm_error error;
    expect_ok(pm_compress(data, size, out, &error), &error);
}

static void skip_unless_installed(void)
{
    pm_compressed out[PM_COMPRESSORS];
    compress_ok((const uint8_t *)"a", 1, out);
    for (int i = 0; i < PM_COMPRESSORS; i++) {
        if (!out[i].installed) {
            print_message("%s is not installed\n", out[i].command);
            skip();
        }
    }
}

/* What zlib makes of it, with gzip's header of 10 bytes and trailer of 8 in place of zlib's 2 and 4. */
static double gzip_bytes(const uint8_t *data, size_t size)
{
    uLongf packed_size = compressBound((uLong)size);
    uint8_t *packed = malloc(packed_size);
    assert_non_null(packed);
    assert_int_equal(compress2(packed, &packed_size, data, (uLong)size, 9), Z_OK);
    free(packed);
    return (double)packed_size - 6 + 18;
}

static void test_known_data(void **state)
{
    (void)state;
    skip_unless_installed();
    const size_t size = 3000000; /* far beyond what a pipe or a socket holds */
    uint8_t *data = make_words(size);
    pm_compressed out[PM_COMPRESSORS], again[PM_COMPRESSORS];
    compress_ok(data, size, out);
    assert_string_equal(out[0].command, "gzip -9");
    assert_string_equal(out[1].command, "bzip2 -9");
    assert_string_equal(out[2].command, "xz -9e");
    double wanted = gzip_bytes(data, size);
    assert_true(fabs((double)out[0].bytes - wanted) < 0.01 * wanted);
    /* A word has 3 random bits and 39 / 8 letters: no compressor does better, and the others do
     * better than gzip, which needs 1.55 times as much. */
    double entropy = 3 / (39.0 / 8);
    for (int i = 0; i < PM_COMPRESSORS; i++) {
        assert_true(out[i].bits_per_character > entropy * 0.99 && out[i].bits_per_character < entropy * 1.6);
        assert_true(fabs(out[i].bits_per_character - 8.0 * (double)out[i].bytes / (double)size) < 1e-12);
    }
    assert_true(out[1].bytes < out[0].bytes && out[2].bytes < out[0].bytes);
    /* What the environment says does not count. */
    assert_int_equal(setenv("GZIP", "--rsyncable", 1) | setenv("XZ_OPT", "--format=lzma", 1), 0);
    compress_ok(data, 100000, out);
    assert_int_equal(unsetenv("GZIP") | unsetenv("XZ_OPT"), 0);
    compress_ok(data, 100000, again);
    for (int i = 0; i < PM_COMPRESSORS; i++) assert_int_equal(out[i].bytes, again[i].bytes);
    free(data);
}

static void test_characters_and_not_bytes(void **state)
{
    (void)state;
    skip_unless_installed();
    const char euros[] = "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac";
    pm_compressed out[PM_COMPRESSORS];
    compress_ok((const uint8_t *)euros, 12, out);
    for (int i = 0; i < PM_COMPRESSORS; i++)
        assert_true(out[i].bits_per_character == 8.0 * (double)out[i].bytes / 4);
    compress_ok(NULL, 0, out); /* of nothing: a header */
    for (int i = 0; i < PM_COMPRESSORS; i++) {
        assert_in_range(out[i].bytes, 10, 60);
        assert_true(out[i].bits_per_character == 0);
    }
}

/* ---- Commands that are missing or misbehave ------------------------------------------------------------ */

static void put_command(const char *folder, const char *name, const char *script)
{
    char relative[64], text[300];
    (void)snprintf(relative, sizeof relative, "%s/%s", folder, name);
    (void)snprintf(text, sizeof text, "#!/bin/sh\nPATH=/usr/bin:/bin\n%s\n", script);
    put_file(test_path(relative), text, strlen(text));
    assert_int_equal(chmod(test_path(relative), 0700), 0);
}

/* A folder of commands that is all of PATH. */
static void use_commands(const char *folder)
{
    assert_int_equal(mkdir(test_path(folder), 0700), 0);
    assert_int_equal(setenv("PATH", test_path(folder), 1), 0);
}

static void test_missing(void **state)
{
    (void)state;
    pm_compressed out[PM_COMPRESSORS];
    use_commands("few");
    put_command("few", "bzip2", "cat"); /* a compressor that does not compress */
    uint8_t *data = make_words(500000);
    compress_ok(data, 500000, out);
    assert_false(out[0].installed || out[2].installed);
    assert_true(out[0].bytes == 0 && out[0].bits_per_character == 0);
    assert_true(out[1].installed);
    assert_int_equal(out[1].bytes, 500000);
    assert_true(out[1].bits_per_character == 8);
    put_command("few", "xz", "exec /nowhere/xz 2>/dev/null"); /* a shell's way to say so: 127 */
    compress_ok(data, 1000, out);
    assert_false(out[2].installed);
    assert_int_equal(out[2].bytes, 0);
    free(data);
}

/* One that writes much before it reads, one that reads all before it writes: neither must wait forever. */
static void test_order_of_talk(void **state)
{
    (void)state;
    pm_compressed out[PM_COMPRESSORS];
    use_commands("order");
    put_command("order", "gzip", "head -c 3000000 /dev/zero; cat > /dev/null");
    put_command("order", "bzip2", "cat > /dev/null; head -c 3000000 /dev/zero");
    put_command("order", "xz", "printf %s \"$*\"; cat > /dev/null");
    uint8_t *data = make_words(2000000);
    (void)alarm(60); /* a test that hangs ends here */
    compress_ok(data, 2000000, out);
    (void)alarm(0);
    assert_int_equal(out[0].bytes, 3000000);
    assert_int_equal(out[1].bytes, 3000000);
    assert_int_equal(out[2].bytes, 3); /* "-9e" */
    free(data);
}

/* Ends at once, with much unwritten: no SIGPIPE, and its exit status is what is told. */
static void test_failing(void **state)
{
    (void)state;
    pm_compressed out[PM_COMPRESSORS];
    pm_error error = {0};
    use_commands("failing");
    (void)signal(SIGPIPE, SIG_DFL); /* whatever the caller of this program made of it */
    put_command("failing", "gzip", "cat");
    put_command("failing", "bzip2", "echo oh no >&2; exit 3");
    uint8_t *data = make_words(2000000);
    expect_failure(pm_compress(data, 2000000, out, &error), PM_FAILED, &error,
                   "bzip2 -9 failed on 2000000 bytes (exit status 3)");
    put_command("failing", "bzip2", "kill -9 $$");
    expect_failure(pm_compress(data, 2000000, out, &error), PM_FAILED, &error, "(signal 9)");
    put_command("failing", "bzip2", "");
    assert_int_equal(chmod(test_path("failing/bzip2"), 0600), 0);
    expect_failure(pm_compress(data, 10, out, &error), PM_IO, &error,
                   "bzip2 -9 cannot be started: Permission");
    free(data);
}

/* No descriptor is left open, whatever happened. */
static void test_descriptors(void **state)
{
    (void)state;
    pm_compressed out[PM_COMPRESSORS];
    pm_error error;
    use_commands("leaks");
    put_command("leaks", "gzip", "cat");
    put_command("leaks", "xz", "exit 1");
    int before = dup(0);
    assert_true(before >= 0);
    (void)close(before);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pm_compress((const uint8_t *)"abc", 3, out, &error), PM_FAILED);
    int after = dup(0);
    (void)close(after);
    assert_int_equal(after, before);
}

/* ---- Characters ---------------------------------------------------------------------------------------- */

static void counts(const char *text, uint64_t wanted)
{
    size_t size = strlen(text);
    uint8_t *exact = malloc(size + !size); /* so that a sanitizer sees every step beyond it */
    assert_non_null(exact);
    memcpy(exact, text, size);
    uint64_t count = pm_count_characters(exact, size);
    free(exact);
    if (count != wanted) fail_msg("'%s' has %d characters, not %d", text, (int)count, (int)wanted);
}

static void test_characters(void **state)
{
    (void)state;
    counts("", 0);
    counts("plain\n", 6);
    counts("\xc3\xa9t\xc3\xa9", 3);                    /* two bytes */
    counts("\xe2\x82\xac\xef\xbf\xbd\xed\x9f\xbf", 3); /* three: U+20AC, U+FFFD, U+D7FF */
    counts("\xf0\x9f\x8c\x8b\xf4\x8f\xbf\xbf", 2);     /* four: U+1F30B, U+10FFFF */
    counts("e\xcc\x81", 2);                            /* a combining accent is a code point */
    counts("\x80\xbf", 2);                             /* continuations alone */
    counts("\xc0\x80\xc1\xbf", 4);                     /* overlong, two bytes */
    counts("\xe0\x9f\xbf", 3);                         /* overlong, three */
    counts("\xe0\xa0\x80", 1);                         /* U+0800, the first that is not */
    counts("\xf0\x8f\xbf\xbf", 4);                     /* overlong, four */
    counts("\xf0\x90\x80\x80", 1);                     /* U+10000 */
    counts("\xed\xa0\x80", 3);                         /* a surrogate */
    counts("\xf4\x90\x80\x80\xf5\x80\x80\x80\xff", 9); /* beyond U+10FFFF */
    counts("\xe2\x82", 2);                             /* cut off at the end */
    counts("\xf0\x9f\x8c", 3);
    counts("\xe2\x82z\xc3z", 5);       /* cut off by a letter, which counts */
    counts("\xf0\x9f\x8c\xc3\xa9", 4); /* and by a good one */
    assert_int_equal(pm_count_characters((const uint8_t *)"a\0b", 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_data),
        cmocka_unit_test(test_characters_and_not_bytes),
        cmocka_unit_test_teardown(test_missing, restore_path),
        cmocka_unit_test_teardown(test_order_of_talk, restore_path),
        cmocka_unit_test_teardown(test_failing, restore_path),
        cmocka_unit_test_teardown(test_descriptors, restore_path),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests_name("compressors", tests, set_up, remove_test_directory);
}
