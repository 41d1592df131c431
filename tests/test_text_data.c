/* Text to learn from: files and folders, the split, the sources that have a name. */
#include "file_helpers.h"

#include "data/text.h"
#include "files/file_calls.h"

#include <errno.h>
#include <math.h>

/* ---- Helpers ------------------------------------------------------------------------------------------- */

static void put_text(const char *name, const char *text)
{
    put_file(test_path(name), text, strlen(text));
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(test_path(name), 0700), 0);
}

static void fresh_folder(const char *name)
{
    remove_tree(test_path(name));
    make_folder(name);
}

static void load_fails(const char *source, size_t max_bytes, pm_status status, const char *message)
{
    pm_error error = {0};
    pm_text text = {.size = 7};
    expect_failure(pm_text_load(source, max_bytes, &text, &error), status, &error, message);
    assert_null(text.bytes);
    assert_int_equal(text.size, 0);
}

static void loads_as(const char *source, const char *wanted, size_t files, size_t skipped)
{
    pm_error error;
    pm_text text;
    expect_ok(pm_text_load(source, 0, &text, &error), &error);
    assert_string_equal((const char *)text.bytes, wanted);
    assert_int_equal(text.size, strlen(wanted));
    assert_int_equal(text.files, files);
    assert_int_equal(text.skipped, skipped);
    pm_text_free(&text);
    assert_null(text.bytes);
}

/* ---- Files --------------------------------------------------------------------------------------------- */

static void test_file(void **state)
{
    (void)state;
    put_text("one.txt", "some text\nwithout an end");
    loads_as(test_path("one.txt"), "some text\nwithout an end", 1, 0);
    put_text(".hidden", "named itself it is read\n");
    loads_as(test_path(".hidden"), "named itself it is read\n", 1, 0);
}

static void test_files_that_are_no_text(void **state)
{
    (void)state;
    put_text("empty", "");
    load_fails(test_path("empty"), 0, PM_BAD_FILE, "empty: is empty");
    put_file(test_path("binary"), "abc\0def", 7);
    load_fails(test_path("binary"), 0, PM_BAD_FILE, "binary: is not text: byte 3 of it is NUL");
    load_fails(test_path("none"), 0, PM_IO, "none: cannot be opened: No such file or directory");
    if (!HAS_LINKS_AND_PIPES) return;
    assert_int_equal(mkfifo(test_path("pipe"), 0600), 0);
    load_fails(test_path("pipe"), 0, PM_IO, "pipe: is not a regular file");
}

static int refuse(const char *path, int flags, mode_t mode)
{
    (void)path, (void)flags, (void)mode;
    errno = EACCES;
    return -1;
}

/* By exchanging a system call: permissions do not keep root out. */
static void test_unreadable(void **state)
{
    (void)state;
    fresh_folder("closed");
    put_text("closed/a.txt", "a");
    pm_file_calls calls = pm_system_file_calls;
    calls.open = refuse;
    pm_file_calls_in_use = &calls;
    pm_error error[2] = {{0}, {0}};
    pm_text text[2];
    pm_status status[2] = {pm_text_load(test_path("closed/a.txt"), 0, &text[0], &error[0]),
                           pm_text_load(test_path("closed"), 0, &text[1], &error[1])};
    pm_file_calls_in_use = &pm_system_file_calls;
    for (int i = 0; i < 2; i++) {
        expect_failure(status[i], PM_IO, &error[i], "closed/a.txt: cannot be opened: Permission denied");
        assert_null(text[i].bytes);
    }
    if (geteuid() == 0) return;
    assert_int_equal(chmod(test_path("closed"), 0), 0);
    load_fails(test_path("closed"), 0, PM_IO, "closed: cannot be opened: Permission denied");
    assert_int_equal(chmod(test_path("closed"), 0700), 0);
}

static void test_too_large(void **state)
{
    (void)state;
    fresh_folder("large");
    put_text("large/a", "1234567");
    put_text("large/b", "12");
    loads_as(test_path("large"), "1234567\n12", 2, 0);
    pm_error error;
    pm_text text;
    expect_ok(pm_text_load(test_path("large"), 10, &text, &error), &error);
    pm_text_free(&text);
    load_fails(test_path("large"), 9, PM_BAD_FILE,
               "large/b: with this file the text has 10 bytes, more than the 9");
    load_fails(test_path("large"), 6, PM_BAD_FILE, "large/a: has 7 bytes, more than the 6");
    load_fails(test_path("large/a"), 6, PM_BAD_FILE, "large/a: has 7 bytes, more than the 6");
    /* 2^31 bytes, nearly all of them a hole: refused before anything is allocated. */
    char start[5000];
    memset(start, 'x', sizeof start);
    put_file(test_path("large/b"), start, sizeof start);
    assert_int_equal(truncate(test_path("large/b"), (off_t)1 << 31), 0);
    load_fails(test_path("large/b"), 0, PM_BAD_FILE,
               "large/b: has 2147483648 bytes, more than the 2147483647");
    load_fails(test_path("large"), SIZE_MAX, PM_BAD_FILE, "large/b: has 2147483648 bytes");
}

/* ---- Folders ------------------------------------------------------------------------------------------- */

static void test_folder(void **state)
{
    (void)state;
    fresh_folder("books");
    make_folder("books/b");
    make_folder("books/b/deep");
    put_text("books/z.txt", "last");
    put_text("books/a.md", "first");
    put_text("books/b/one", "third, with an end\n");
    put_text("books/b/deep/two", "second");
    put_text("books/b.txt", "after a.md, as . is before /");
    put_text("books/c", "");
    /* '.' < '/' and "deep/" < "one". The empty file adds nothing, not even a newline. */
    loads_as(test_path("books"), "first\nafter a.md, as . is before /\nsecond\nthird, with an end\nlast", 6,
             0);
}

static void test_folder_passes_over(void **state)
{
    (void)state;
    fresh_folder("mixed");
    put_text("mixed/text", "text\n");
    put_text("mixed/.secret", "hidden");            /* 1 */
    make_folder("mixed/.git");                      /* 2: as a whole */
    put_text("mixed/.git/config", "hidden too");    /* */
    put_file(test_path("mixed/early"), "\0abc", 4); /* 3 */
    char late[10000];                               /* 4: beyond what is looked at first */
    memset(late, 'x', sizeof late);
    late[9999] = 0;
    put_file(test_path("mixed/late"), late, sizeof late);
    /* A binary file, however large, is passed over before its size matters. */
    assert_int_equal(truncate(test_path("mixed/early"), (off_t)1 << 32), 0);
    loads_as(test_path("mixed"), "text\n", 1, 4);
    if (!HAS_LINKS_AND_PIPES) return;
    assert_int_equal(mkfifo(test_path("mixed/pipe"), 0600), 0);    /* 5 */
    assert_int_equal(symlink(".", test_path("mixed/circle")), 0);  /* 6: a link to a folder */
    assert_int_equal(symlink("text", test_path("mixed/link")), 0); /* read: it is a file */
    loads_as(test_path("mixed"), "text\ntext\n", 2, 6);
    assert_int_equal(symlink("mixed", test_path("other-name")), 0); /* named itself it is followed */
    loads_as(test_path("other-name"), "text\ntext\n", 2, 6);
    assert_int_equal(symlink("nowhere", test_path("mixed/dangling")), 0);
    load_fails(test_path("mixed"), 0, PM_IO, "mixed/dangling: cannot be looked up: No such file");
}

static void test_folder_without_text(void **state)
{
    (void)state;
    fresh_folder("bare");
    load_fails(test_path("bare"), 0, PM_BAD_FILE, "bare: there is no text in it (0 entries passed over)");
    put_text("bare/empty", "");
    put_file(test_path("bare/binary"), "\0", 1);
    load_fails(test_path("bare"), 0, PM_BAD_FILE, "bare: there is no text in it (1 entries passed over)");
}

/* ---- Names --------------------------------------------------------------------------------------------- */

/* Which of the places of "kjv" is taken. Runs below test_directory, so that no text of this machine is found.
 */
static void test_kjv(void **state)
{
    (void)state;
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    fresh_folder("places");
    make_folder("places/env");
    make_folder("places/xdg");
    make_folder("places/xdg/pumice");
    make_folder("places/home");
    make_folder("places/home/.local");
    make_folder("places/home/.local/share");
    make_folder("places/home/.local/share/pumice");
    make_folder("places/out");
    make_folder("places/out/data");
    assert_int_equal(chdir(test_path("places")), 0);
    assert_int_equal(setenv("HOME", test_path("places/home"), 1), 0);
    assert_int_equal(setenv("PUMICE_DATA", test_path("places/env"), 1), 0);
    assert_int_equal(unsetenv("XDG_DATA_HOME"), 0);

    put_text("places/kjv", "./kjv");
    load_fails("kjv", 0, PM_IO, "kjv: the King James Bible is not here; tools/kjv.sh writes it");
    put_text("places/home/.local/share/pumice/kjv.txt", "home");
    loads_as("kjv", "home", 1, 0);
    assert_int_equal(setenv("XDG_DATA_HOME", test_path("places/xdg"), 1), 0);
    load_fails("kjv", 0, PM_IO, "tools/kjv.sh"); /* in place of ~/.local/share, not before it */
    put_text("places/xdg/pumice/kjv.txt", "xdg");
    loads_as("kjv", "xdg", 1, 0);
    put_text("places/out/data/kjv.txt", "out");
    loads_as("kjv", "out", 1, 0);
    put_text("places/env/kjv.txt", "env");
    loads_as("kjv", "env", 1, 0);
    assert_int_equal(setenv("PUMICE_DATA", "", 1), 0);
    loads_as("kjv", "out", 1, 0);
    loads_as("./kjv", "./kjv", 1, 0);
    assert_int_equal(chdir(before), 0);
}

/* ---- The split ----------------------------------------------------------------------------------------- */

/* `lines` lines of different lengths, each of which begins with its number. */
static pm_text numbered_lines(int lines)
{
    pm_text text = {.bytes = calloc(1, (size_t)lines * 80 + 1)};
    assert_non_null(text.bytes);
    for (int i = 0; i < lines; i++) {
        text.size += (size_t)sprintf((char *)text.bytes + text.size, "%d %.*s\n", i, i * 37 % 61,
                                     "a line, and what follows it up to its end, which may be early or late");
    }
    return text;
}

static void split_ok(const pm_text *text, double fraction, uint64_t seed, pm_text *train, pm_text *validation)
{
    pm_error error;
    expect_ok(pm_text_split(text, fraction, seed, train, validation, &error), &error);
    assert_int_equal(train->size + validation->size, text->size);
    assert_int_equal(train->bytes[train->size], 0);
    assert_int_equal(validation->bytes[validation->size], 0);
}

static bool same_text(const pm_text *a, const pm_text *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The lines of both, each in rising order, put together are those of the text: nothing is lost, doubled,
 * moved or cut. Returns the number of stretches that validation has of the text. */
static int check_merge(const pm_text *text, const pm_text *train, const pm_text *validation)
{
    const char *from[2] = {(const char *)train->bytes, (const char *)validation->bytes};
    const char *at = (const char *)text->bytes;
    int stretches = 0, before = 0;
    while (*at) {
        size_t length = (size_t)(strchr(at, '\n') - at) + 1;
        int which = strncmp(from[0], at, length) == 0 ? 0 : 1; /* lines begin with their number: no ties */
        assert_int_equal(strncmp(from[which], at, length), 0);
        from[which] += length;
        at += length;
        stretches += which == 1 && before == 0;
        before = which;
    }
    assert_int_equal(*from[0], 0);
    assert_int_equal(*from[1], 0);
    return stretches;
}

static void test_split(void **state)
{
    (void)state;
    pm_text text = numbered_lines(20000), train, validation, again[2];
    const double fractions[] = {0.001, 0.01, 0.05, 0.3, 0.5, 0.9};
    double piece = (double)text.size / PM_TEXT_PIECES + 80;
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++) {
        split_ok(&text, fractions[i], 5, &train, &validation);
        double wanted = fractions[i] * (double)text.size;
        assert_true((double)validation.size >= wanted);
        assert_true((double)validation.size < wanted + piece);
        int stretches = check_merge(&text, &train, &validation);
        assert_in_range(stretches, 1, (int)(fractions[i] * PM_TEXT_PIECES) + 1);
        if (fractions[i] == 0.3) assert_true(stretches > 10); /* spread over the text */
        split_ok(&text, fractions[i], 5, &again[0], &again[1]);
        assert_true(same_text(&train, &again[0]) && same_text(&validation, &again[1]));
        for (int k = 0; k < 2; k++) pm_text_free(&again[k]);
        pm_text_free(&train);
        pm_text_free(&validation);
    }
    pm_text_free(&text);
}

/* Each seed, in both its halves, chooses other pieces, and each piece is chosen by some. */
static void test_split_seeds(void **state)
{
    (void)state;
    enum { SEEDS = 400 };
    pm_text text = numbered_lines(1000), train, validation, first = {0};
    bool held_out[1000] = {false};
    int same_as_first = 0;
    for (uint64_t i = 0; i < SEEDS; i++) {
        split_ok(&text, 0.05, i % 2 ? i << 32 : i, &train, &validation);
        for (const char *line = (const char *)validation.bytes; *line; line = strchr(line, '\n') + 1)
            held_out[atoi(line)] = true;
        if (i == 0) {
            first = validation;
        } else {
            same_as_first += same_text(&first, &validation);
            pm_text_free(&validation);
        }
        pm_text_free(&train);
    }
    assert_int_equal(same_as_first, 0);
    /* A line is left out by a seed with probability 0.95, by all with 1e-9. */
    for (int i = 0; i < 1000; i++) assert_true(held_out[i]);
    pm_text_free(&first);
    pm_text_free(&text);
}

static void test_split_of_nothing(void **state)
{
    (void)state;
    pm_text text = numbered_lines(50), train, validation;
    split_ok(&text, 0, 5, &train, &validation);
    assert_true(same_text(&train, &text));
    assert_int_equal(validation.size, 0);
    pm_text_free(&train);
    pm_text_free(&validation);
    pm_text_free(&text);
}

/* A short text: a line is never cut, and both splits have one at least. */
static void test_split_short(void **state)
{
    (void)state;
    for (int lines = 2; lines < 40; lines++) {
        pm_text text = numbered_lines(lines), train, validation;
        for (int i = 0; i < 3; i++) {
            split_ok(&text, (double[]){0.001, 0.05, 0.9}[i], (uint64_t)lines, &train, &validation);
            assert_true(train.size > 0 && validation.size > 0);
            (void)check_merge(&text, &train, &validation);
            pm_text_free(&train);
            pm_text_free(&validation);
        }
        pm_text_free(&text);
    }
    pm_error error = {0};
    pm_text line = {.bytes = (uint8_t *)"one line\n", .size = 9}, train, validation;
    expect_failure(pm_text_split(&line, 0.05, 0, &train, &validation, &error), PM_BAD_USAGE, &error,
                   "single line");
    assert_null(train.bytes);
    split_ok(&line, 0, 0, &train, &validation);
    assert_true(same_text(&train, &line));
    pm_text_free(&train);
    pm_text_free(&validation);
}

/* Without lines cuts are after spaces; without spaces between characters. */
static void test_split_without_lines(void **state)
{
    (void)state;
    const struct {
        const char *unit;
        size_t bytes;
    } kinds[] = {{"word ", 5}, {"\xe2\x82\xac", 3}};
    for (int kind = 0; kind < 2; kind++) {
        size_t bytes = kinds[kind].bytes;
        pm_text text = {.bytes = malloc(70001 * bytes), .size = 70001 * bytes}, train, validation;
        assert_non_null(text.bytes);
        for (size_t i = 0; i < 70001; i++) memcpy(text.bytes + i * bytes, kinds[kind].unit, bytes);
        split_ok(&text, 0.05, 9, &train, &validation);
        assert_in_range(validation.size, text.size / 20, text.size * 3 / 50 + 10);
        for (int k = 0; k < 2; k++) {
            const pm_text *part = k ? &train : &validation;
            assert_int_equal(part->size % bytes, 0);
            assert_memory_equal(part->bytes, text.bytes, part->size);
        }
        pm_text_free(&train);
        pm_text_free(&validation);
        pm_text_free(&text);
    }
}

static void test_split_wrong_fraction(void **state)
{
    (void)state;
    pm_text text = numbered_lines(50), train, validation;
    const double fractions[] = {-0.01, 0.91, (double)NAN};
    for (int i = 0; i < 3; i++) {
        pm_error error = {0};
        expect_failure(pm_text_split(&text, fractions[i], 0, &train, &validation, &error), PM_BAD_USAGE,
                       &error, "from 0 to 0.9");
    }
    pm_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_files_that_are_no_text),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_folder_passes_over),
        cmocka_unit_test(test_folder_without_text),
        cmocka_unit_test(test_kjv),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_seeds),
        cmocka_unit_test(test_split_of_nothing),
        cmocka_unit_test(test_split_short),
        cmocka_unit_test(test_split_without_lines),
        cmocka_unit_test(test_split_wrong_fraction),
    };
    return cmocka_run_group_tests_name("text data", tests, make_test_directory, remove_test_directory);
}
