/* Whole files in and out, with a fault at every system call of a save. */
#include "file_helpers.h"

#include "files/file_calls.h"
#include "files/file_error.h"
#include "files/file_io.h"

/* System calls of a save: open, 2 writes, fsync, close; open, rename, fsync, close of the folder. On Windows
 * rename alone follows the first close. */
enum { SAVE_CALLS = PM_FLUSHES_FOLDERS ? 9 : 6, RENAME_CALL = PM_FLUSHES_FOLDERS ? 6 : 5 };
static const char OLD[] = "the old content", NEW[] = "the new content, which is longer";

/* ---- Faults -------------------------------------------------------------------------------------------- */

/* What the faulty calls do: count, and fail where they were told to. */
static struct {
    int calls;     /* so far */
    int fail_at;   /* this call fails */
    bool for_ever; /* and all after it */
    bool short_writes;
    int reason; /* errno of the failure; 0 for a write() that returns 0 */
    bool failed, renamed;
} fault;

static bool fails_now(void)
{
    int call = fault.calls++;
    bool now = call == fault.fail_at || (fault.for_ever && call > fault.fail_at);
    if (now) {
        fault.failed = true;
        errno = fault.reason;
    }
    return now;
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    return fails_now() ? -1 : pm_system_file_calls.open(path, flags, mode);
}

static int faulty_fstat(int fd, struct stat *out)
{
    return fails_now() ? -1 : pm_system_file_calls.fstat(fd, out);
}

static ssize_t faulty_read(int fd, void *data, size_t size)
{
    if (fails_now()) return fault.reason ? -1 : 0;
    return pm_system_file_calls.read(fd, data, fault.short_writes && size > 1 ? size / 2 : size);
}

static ssize_t faulty_write(int fd, const void *data, size_t size)
{
    if (fails_now()) return fault.reason ? -1 : 0;
    return pm_system_file_calls.write(fd, data, fault.short_writes && size > 1 ? size / 2 : size);
}

static int faulty_fsync(int fd)
{
    return fails_now() ? -1 : pm_system_file_calls.fsync(fd);
}

static int faulty_close(int fd)
{
    (void)pm_system_file_calls.close(fd); /* a close() that fails has closed nevertheless */
    return fails_now() ? -1 : 0;
}

static int faulty_rename(const char *from, const char *to)
{
    if (fails_now()) return -1;
    fault.renamed = true;
    return pm_system_file_calls.rename(from, to);
}

static int faulty_unlink(const char *path)
{
    return fails_now() ? -1 : pm_system_file_calls.unlink(path);
}

static const pm_file_calls faulty_calls = {faulty_open,  faulty_fstat, faulty_read,   faulty_write,
                                           faulty_fsync, faulty_close, faulty_rename, faulty_unlink};

/* Arms the fault; `call` counts from 0. */
static void fail_call(int call, int reason, bool for_ever, bool short_writes)
{
    memset(&fault, 0, sizeof fault);
    fault.fail_at = call;
    fault.reason = reason;
    fault.for_ever = for_ever;
    fault.short_writes = short_writes;
    pm_file_calls_in_use = &faulty_calls;
}

static int stop_faults(void **state)
{
    (void)state;
    pm_file_calls_in_use = &pm_system_file_calls;
    return 0;
}

/* ---- Helpers ------------------------------------------------------------------------------------------- */

static pm_status save_new(const char *path, pm_error *error)
{
    const pm_bytes parts[] = {{NEW, 10}, {NEW + 10, sizeof NEW - 10}};
    return pm_write_file(path, parts, 2, error);
}

static bool content_is(const char *path, const void *bytes, size_t size)
{
    size_t got;
    uint8_t *content = get_file(path, &got);
    bool same = got == size && memcmp(content, bytes, size) == 0;
    free(content);
    return same;
}

/* Files of a folder whose names end so. */
static int count_files(const char *folder, const char *ending)
{
    int count = 0;
    DIR *stream = opendir(folder);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name), tail = strlen(ending);
        count += length > tail && strcmp(entry->d_name + length - tail, ending) == 0;
    }
    (void)closedir(stream);
    return count;
}

static int count_temporaries(void)
{
    return count_files(test_directory, ".tmp");
}

/* The lowest free descriptor: rises when one leaks. */
static int free_descriptor(void)
{
    int fd = dup(0);
    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

/* ---- Tests --------------------------------------------------------------------------------------------- */

static void test_round_trip(void **state)
{
    (void)state;
    pm_error error;
    const char *path = test_path("round-trip");
    expect_ok(save_new(path, &error), &error);
    uint8_t *data;
    size_t size;
    expect_ok(pm_read_file(path, sizeof NEW, &data, &size, &error), &error);
    assert_int_equal(size, sizeof NEW);
    assert_memory_equal(data, NEW, sizeof NEW);
    assert_int_equal((uintptr_t)data % PM_MOST_ALIGNMENT, 0);
    assert_int_equal(data[size], 0);
    free(data);

    expect_ok(pm_write_file(path, NULL, 0, &error), &error);
    expect_ok(pm_read_file(path, 0, &data, &size, &error), &error);
    assert_int_equal(size, 0);
    free(data);
}

static void test_abort_leaves_nothing(void **state)
{
    (void)state;
    pm_error error;
    pm_file_writer *writer;
    const char *path = test_path("aborted");
    put_file(path, OLD, sizeof OLD);
    expect_ok(pm_file_begin(path, &writer, &error), &error);
    expect_ok(pm_file_append(writer, NEW, sizeof NEW, &error), &error);
    assert_int_equal(count_temporaries(), 1);
    pm_file_abort(writer);
    pm_file_abort(NULL);
    assert_int_equal(count_temporaries(), 0);
    assert_true(content_is(path, OLD, sizeof OLD));
}

static void test_two_writers_of_one_file(void **state)
{
    (void)state;
    pm_error error;
    pm_file_writer *first, *second;
    const char *path = test_path("contended");
    expect_ok(pm_file_begin(path, &first, &error), &error);
    expect_ok(pm_file_begin(path, &second, &error), &error);
    expect_ok(pm_file_append(first, OLD, sizeof OLD, &error), &error);
    expect_ok(pm_file_append(second, NEW, sizeof NEW, &error), &error);
    expect_ok(pm_file_commit(first, &error), &error);
    expect_ok(pm_file_commit(second, &error), &error);
    assert_true(content_is(path, NEW, sizeof NEW));
}

static void test_links_and_permissions_stay(void **state)
{
    (void)state;
    pm_error error;
    struct stat info;
    if (!HAS_LINKS_AND_PIPES) skip();
    const char *path = test_path("private"), *link = test_path("link");
    put_file(path, OLD, sizeof OLD);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink("private", link), 0);
    expect_ok(save_new(link, &error), &error);
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(content_is(path, NEW, sizeof NEW));
}

/* A file's permissions do not keep it from being replaced, save on Windows. */
static void test_read_only(void **state)
{
    (void)state;
    pm_error error;
    struct stat info;
    const char *path = test_path("read-only");
    put_file(path, OLD, sizeof OLD);
    assert_int_equal(chmod(path, 0400), 0);
#ifdef _WIN32
    expect_failure(save_new(path, &error), PM_IO, &error, "cannot be replaced: Permission denied");
    assert_true(content_is(path, OLD, sizeof OLD));
#else
    expect_ok(save_new(path, &error), &error);
    assert_true(content_is(path, NEW, sizeof NEW));
#endif
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0200, 0);
    assert_int_equal(count_temporaries(), 0);
}

/* Also where the file is there already, and its path is followed. */
static void test_every_separator(void **state)
{
    (void)state;
    pm_error error;
    char path[300];
    assert_int_equal(mkdir(test_path("folder"), 0700), 0);
    for (const char *separator = "/\\"; *separator; separator++) {
        if (!pm_is_separator(*separator)) continue;
        (void)snprintf(path, sizeof path, "%s%cfile", test_path("folder"), *separator);
        for (int round = 0; round < 2; round++) {
            pm_file_writer *writer;
            expect_ok(pm_file_begin(path, &writer, &error), &error);
            expect_ok(pm_file_append(writer, NEW, sizeof NEW, &error), &error);
            assert_int_equal(count_files(test_path("folder"), ".tmp"), 1); /* beside the file to come */
            expect_ok(pm_file_commit(writer, &error), &error);
            assert_true(content_is(test_path("folder/file"), NEW, sizeof NEW));
            assert_int_equal(count_files(test_path("folder"), ".tmp"), 0);
        }
        assert_int_equal(unlink(path), 0);
    }
}

static void test_refuses_what_is_no_file(void **state)
{
    (void)state;
    pm_error error;
    uint8_t *data;
    size_t size;
    const char *fifo = test_path("fifo");
    if (HAS_LINKS_AND_PIPES) {
        assert_int_equal(mkfifo(fifo, 0600), 0);
        expect_failure(pm_read_file(fifo, 10, &data, &size, &error), PM_IO, &error, "not a regular file");
        expect_failure(save_new("/dev/null", &error), PM_BAD_USAGE, &error,
                       "/dev/null: exists and is not a regular");
    }
    expect_failure(save_new(test_directory, &error), PM_BAD_USAGE, &error, "not a regular file");
    expect_failure(save_new("", &error), PM_BAD_USAGE, &error, "empty");
    expect_failure(save_new(test_path("none/file"), &error), PM_IO, &error, "No such file or directory");
    expect_failure(pm_read_file(test_directory, 10, &data, &size, &error), PM_IO, &error, "is a directory");
    expect_failure(pm_read_file(test_path("none"), 10, &data, &size, &error), PM_IO, &error, "No such file");
    put_file(test_path("large"), OLD, sizeof OLD);
    expect_failure(pm_read_file(test_path("large"), sizeof OLD - 1, &data, &size, &error), PM_BAD_FILE,
                   &error, "16 bytes, more than the 15");
}

/* Saves over an old file with a fault at call 0, 1, 2, ... until a save goes by without reaching it, and
 * checks each time that what is there is one of the two files. Returns how many calls a save makes. */
static int save_with_every_fault(int reason, bool for_ever, bool short_writes)
{
    for (int call = 0; call < 100; call++) {
        pm_error error = {0};
        const char *path = test_path("target");
        put_file(path, OLD, sizeof OLD);
        int descriptor = free_descriptor();
        fail_call(call, reason, for_ever, short_writes);
        pm_status status = save_new(path, &error);
        (void)stop_faults(NULL);

        assert_int_equal(free_descriptor(), descriptor);
        if (status == PM_OK) {
            /* Only the last call, closing the flushed directory, may fail unheard. */
            assert_true(!fault.failed || (PM_FLUSHES_FOLDERS && call == fault.calls - 1));
            assert_true(content_is(path, NEW, sizeof NEW));
        } else {
            assert_true(fault.failed);
            expect_failure(status, PM_IO, &error, "target: ");
            assert_non_null(strstr(error.message, strerror(reason ? reason : EIO)));
            assert_true(content_is(path, fault.renamed ? NEW : OLD, fault.renamed ? sizeof NEW : sizeof OLD));
        }
        if (!for_ever) assert_int_equal(count_temporaries(), 0);
        if (for_ever) {
            remove_tree(test_directory); /* unlink() failed as well, so a temporary file may remain */
            assert_int_equal(mkdir(test_directory, 0700), 0);
        }
        if (!fault.failed) return call;
    }
    fail_msg("a save makes more calls than it can");
    return 0;
}

static void test_fault_at_every_call_of_a_save(void **state)
{
    (void)state;
    static const int reasons[] = {ENOSPC, EACCES, EIO, EDQUOT, EROFS, EMFILE};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        assert_int_equal(save_with_every_fault(reasons[i], false, false), SAVE_CALLS);
        assert_int_equal(save_with_every_fault(reasons[i], true, false), SAVE_CALLS);
    }
    assert_true(save_with_every_fault(ENOSPC, false, true) > SAVE_CALLS);
}

static void test_write_without_progress(void **state)
{
    (void)state;
    pm_error error;
    const char *path = test_path("no-progress");
    put_file(path, OLD, sizeof OLD);
    fail_call(1, 0, false, false);
    pm_status status = save_new(path, &error);
    (void)stop_faults(NULL);
    expect_failure(status, PM_IO, &error, "writing failed: Input/output error");
    assert_true(content_is(path, OLD, sizeof OLD));
}

static void test_interruptions_are_invisible(void **state)
{
    (void)state;
    const char *path = test_path("interrupted");
    for (int call = 0; call < SAVE_CALLS; call++) {
        if (call == RENAME_CALL) continue; /* rename() is not interruptible */
        pm_error error;
        put_file(path, OLD, sizeof OLD);
        fail_call(call, EINTR, false, false);
        pm_status status = save_new(path, &error);
        (void)stop_faults(NULL);
        assert_true(fault.failed);
        expect_ok(status, &error);
        assert_true(content_is(path, NEW, sizeof NEW));
        assert_int_equal(count_temporaries(), 0);
    }
}

static void test_file_systems_without_directory_flush(void **state)
{
    (void)state;
    pm_error error;
    if (!PM_FLUSHES_FOLDERS) skip();
    fail_call(7, EINVAL, false, false);
    pm_status status = save_new(test_path("exotic"), &error);
    (void)stop_faults(NULL);
    assert_true(fault.failed);
    expect_ok(status, &error);
}

static void test_fault_at_every_call_of_a_load(void **state)
{
    (void)state;
    const char *path = test_path("loaded");
    put_file(path, NEW, sizeof NEW);
    int failures = 0;
    for (int call = 0; call < 100; call++) {
        pm_error error = {0};
        uint8_t *data;
        size_t size;
        int descriptor = free_descriptor();
        fail_call(call, EIO, false, true);
        pm_status status = pm_read_file(path, 1000, &data, &size, &error);
        (void)stop_faults(NULL);
        assert_int_equal(free_descriptor(), descriptor);
        if (status == PM_OK) {
            assert_memory_equal(data, NEW, sizeof NEW);
        } else {
            failures++;
            assert_null(data);
            expect_failure(status, PM_IO, &error, strerror(EIO));
        }
        free(data);
        if (!fault.failed) break;
    }
    assert_true(failures >= 4);

    pm_error error;
    uint8_t *data;
    size_t size;
    fail_call(2, 0, false, false); /* read() finds the end of the file too early */
    pm_status status = pm_read_file(path, 1000, &data, &size, &error);
    (void)stop_faults(NULL);
    expect_failure(status, PM_IO, &error, "became shorter");
}

static void test_messages_are_one_printable_line(void **state)
{
    (void)state;
    pm_error error;
    (void)pm_fail_at(&error, PM_BAD_FILE, "evil\033[2J\n", "name '%s'", "a\rb\x7f");
    assert_string_equal(error.message, "evil?[2J?: name 'a?b?'");
    (void)pm_fail(&error, PM_BAD_FILE, "one\ntwo %s, \xc3\xa9t\xc3\xa9", "\xc2\x9b");
    assert_string_equal(error.message, "one?two ??, \xc3\xa9t\xc3\xa9");
    assert_int_equal(pm_fail_prefix(&error, PM_IO, "%s", "at\t3"), PM_IO);
    assert_string_equal(error.message, "at?3: one?two ??, \xc3\xa9t\xc3\xa9");
    assert_int_equal(error.status, PM_IO);
    char path[1000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    (void)pm_fail_at(&error, PM_BAD_FILE, path, "the reason");
    assert_non_null(strstr(error.message, "ppp: the reason"));
    (void)pm_fail(&error, PM_FAILED, "%s", path); /* fills the message */
    (void)pm_fail_prefix(&error, PM_FAILED, "%s", path);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_non_null(strstr(error.message, "ppp: ppp"));
    assert_int_equal(pm_fail_at(NULL, PM_IO, path, "nobody listens"), PM_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_abort_leaves_nothing),
        cmocka_unit_test(test_two_writers_of_one_file),
        cmocka_unit_test(test_links_and_permissions_stay),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_every_separator),
        cmocka_unit_test(test_refuses_what_is_no_file),
        cmocka_unit_test_teardown(test_fault_at_every_call_of_a_save, stop_faults),
        cmocka_unit_test_teardown(test_write_without_progress, stop_faults),
        cmocka_unit_test_teardown(test_interruptions_are_invisible, stop_faults),
        cmocka_unit_test_teardown(test_file_systems_without_directory_flush, stop_faults),
        cmocka_unit_test_teardown(test_fault_at_every_call_of_a_load, stop_faults),
        cmocka_unit_test(test_messages_are_one_printable_line),
    };
    return cmocka_run_group_tests_name("files: in and out", tests, make_test_directory,
                                       remove_test_directory);
}
