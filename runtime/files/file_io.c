/* Whole files in and out; see file_io.h. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "files/file_io.h"

#include "base/checked.h"
#include "base/posix.h"
#include "files/file_calls.h"
#include "files/file_error.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEMPORARY_NAMES = 100 };             /* tried before giving up */
static const size_t LARGEST_CALL = 1 << 30; /* bytes in one read() or write(); more is not portable */

/* open() is variadic, so it needs a wrapper to have a plain pointer. */
static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

const pm_file_calls pm_system_file_calls = {system_open, fstat, read, write, pm_fsync, close, rename, unlink};
const pm_file_calls *pm_file_calls_in_use = &pm_system_file_calls;

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do fd = pm_file_calls_in_use->open(path, flags | PM_OPEN_FLAGS, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int fsync_retrying(int fd)
{
    int result;
    do result = pm_file_calls_in_use->fsync(fd);
    while (result < 0 && errno == EINTR);
    return result;
}

/* After EINTR the descriptor is gone on Linux and unspecified elsewhere: closing again might hit another's
 * file. */
static int close_once(int fd)
{
    int result = pm_file_calls_in_use->close(fd);
    return result < 0 && errno == EINTR ? 0 : result;
}

static pm_status fail_errno(pm_error *error, const char *path, const char *doing)
{
    return pm_fail_at(error, PM_IO, path, "%s: %s", doing, strerror(errno));
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

struct pm_file_writer {
    char *target;    /* where the file goes, symbolic links followed */
    char *directory; /* of target */
    char *temporary; /* in directory; NULL when there is no such file (any more) */
    int fd;          /* of temporary; -1 when closed */
};

void pm_file_abort(pm_file_writer *writer)
{
    if (!writer) return;
    if (writer->fd >= 0) (void)close_once(writer->fd);
    if (writer->temporary) (void)pm_file_calls_in_use->unlink(writer->temporary);
    free(writer->temporary);
    free(writer->directory);
    free(writer->target);
    free(writer);
}

/* "." for a bare name, "/" for a file of the root. */
static char *directory_of(const char *path)
{
    const char *slash = pm_last_separator(path);
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Fills target, directory and the permissions of the file to come. */
static pm_status find_target(pm_file_writer *writer, const char *path, mode_t *mode, pm_error *error)
{
    struct stat old;
    *mode = 0666;
    if (path[0] == 0) return pm_fail(error, PM_BAD_USAGE, "the name of the file to write is empty");
    if (stat(path, &old) == 0) {
        /* Renaming over a device would replace it: `-o /dev/null` must not do that to a machine. */
        if (!S_ISREG(old.st_mode)) {
            return pm_fail_at(error, PM_BAD_USAGE, path,
                              "exists and is not a regular file; give a file's name");
        }
        *mode = old.st_mode & 0777;
        writer->target = realpath(path, NULL);
        if (!writer->target && errno != ENOMEM) return fail_errno(error, path, "cannot follow the path");
    } else if (errno == ENOENT) {
        writer->target = strdup(path);
    } else {
        return fail_errno(error, path, "cannot be looked up");
    }
    if (writer->target) writer->directory = directory_of(writer->target);
    return writer->directory ? PM_OK : pm_fail_memory(error, path);
}

/* Creates a file of a new name beside the target. */
static pm_status open_temporary(pm_file_writer *writer, mode_t mode, pm_error *error)
{
    size_t room = strlen(writer->directory) + 64;
    char *name = malloc(room);
    if (!name) return pm_fail_memory(error, writer->target);
    for (int attempt = 0; attempt < TEMPORARY_NAMES; attempt++) {
        (void)snprintf(name, room, "%s/.pumice-%ld-%d.tmp", writer->directory, (long)getpid(), attempt);
        writer->fd = open_retrying(name, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (writer->fd >= 0) {
            writer->temporary = name;
            return PM_OK;
        }
        if (errno != EEXIST) break;
    }
    int reason = errno; /* which free() may change */
    free(name);
    errno = reason;
    return fail_errno(error, writer->target, "cannot create a file in its directory");
}

pm_status pm_file_begin(const char *path, pm_file_writer **out, pm_error *error)
{
    *out = NULL;
    pm_file_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return pm_fail_memory(error, path);
    writer->fd = -1;
    mode_t mode;
    pm_status status = find_target(writer, path, &mode, error);
    if (status == PM_OK) status = open_temporary(writer, mode, error);
    if (status != PM_OK) {
        pm_file_abort(writer);
        return status;
    }
    *out = writer;
    return PM_OK;
}

pm_status pm_file_append(pm_file_writer *writer, const void *data, size_t size, pm_error *error)
{
    const char *at = data;
    while (size > 0) {
        ssize_t written =
            pm_file_calls_in_use->write(writer->fd, at, size < LARGEST_CALL ? size : LARGEST_CALL);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO; /* no progress and no reason given: do not try for ever */
        if (written <= 0) return fail_errno(error, writer->target, "writing failed");
        at += written;
        size -= (size_t)written;
    }
    return PM_OK;
}

/* Makes the new name itself survive a power cut. Some file systems know no such thing for directories and say
 * EINVAL. */
static pm_status flush_directory(int fd, const char *target, pm_error *error)
{
    int result = fsync_retrying(fd);
    int reason = errno;
    (void)close_once(fd);
    if (result == 0 || reason == EINVAL || reason == ENOTSUP) return PM_OK;
    return pm_fail_at(error, PM_IO, target,
                      "was written, but its directory could not be flushed to the disk: %s",
                      strerror(reason));
}

static pm_status commit(pm_file_writer *writer, pm_error *error)
{
    if (fsync_retrying(writer->fd) != 0)
        return fail_errno(error, writer->target, "flushing to the disk failed");
    int closed = close_once(writer->fd);
    writer->fd = -1;
    if (closed != 0) return fail_errno(error, writer->target, "closing failed");

    /* Opened before the rename, so that as few steps as possible can fail after it. */
    int directory = PM_FLUSHES_FOLDERS ? open_retrying(writer->directory, O_RDONLY | O_DIRECTORY, 0) : -1;
    if (PM_FLUSHES_FOLDERS && directory < 0)
        return fail_errno(error, writer->target, "cannot open its directory");
    if (pm_file_calls_in_use->rename(writer->temporary, writer->target) != 0) {
        int reason = errno;
        if (directory >= 0) (void)close_once(directory);
        errno = reason;
        return fail_errno(error, writer->target, "cannot be replaced");
    }
    free(writer->temporary);
    writer->temporary = NULL;
    return directory >= 0 ? flush_directory(directory, writer->target, error) : PM_OK;
}

pm_status pm_file_commit(pm_file_writer *writer, pm_error *error)
{
    pm_status status = commit(writer, error);
    pm_file_abort(writer); /* of which nothing but the memory is left after a success */
    return status;
}

pm_status pm_write_file(const char *path, const pm_bytes *chunks, size_t count, pm_error *error)
{
    pm_file_writer *writer;
    pm_status status = pm_file_begin(path, &writer, error);
    for (size_t i = 0; i < count && status == PM_OK; i++) {
        status = pm_file_append(writer, chunks[i].data, chunks[i].size, error);
    }
    if (status == PM_OK) return pm_file_commit(writer, error);
    pm_file_abort(writer);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

static pm_status fail_directory(pm_error *error, const char *path)
{
    return pm_fail_at(error, PM_IO, path, "is a directory; a file is needed here");
}

/* Why open() did not. Windows opens no directory. */
static pm_status fail_open(pm_error *error, const char *path)
{
    struct stat info;
    int reason = errno;
    if (reason == EACCES && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return fail_directory(error, path);
    errno = reason;
    return fail_errno(error, path, "cannot be opened");
}

/* The size of an open file, if it is one that can be read as a whole. */
static pm_status size_of(int fd, const char *path, size_t max_bytes, size_t *size, pm_error *error)
{
    struct stat info;
    if (pm_file_calls_in_use->fstat(fd, &info) != 0) return fail_errno(error, path, "cannot be examined");
    if (S_ISDIR(info.st_mode)) return fail_directory(error, path);
    if (!S_ISREG(info.st_mode)) {
        return pm_fail_at(error, PM_IO, path, "is not a regular file; save it as one first");
    }
    if (info.st_size < 0 || (uintmax_t)info.st_size > max_bytes) {
        return pm_fail_at(error, PM_BAD_FILE, path,
                          "has %jd bytes, more than the %zu that such a file may have",
                          (intmax_t)info.st_size, max_bytes);
    }
    *size = (size_t)info.st_size;
    return PM_OK;
}

static pm_status read_exactly(int fd, const char *path, uint8_t *data, size_t size, pm_error *error)
{
    while (size > 0) {
        ssize_t got = pm_file_calls_in_use->read(fd, data, size < LARGEST_CALL ? size : LARGEST_CALL);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(error, path, "reading failed");
        if (got == 0) return pm_fail_at(error, PM_IO, path, "became shorter while it was read; try again");
        data += got;
        size -= (size_t)got;
    }
    return PM_OK;
}

static pm_status read_open_file(int fd, const char *path, size_t max_bytes, uint8_t **data, size_t *size,
                                pm_error *error)
{
    size_t room, bytes = 0;
    pm_status status = size_of(fd, path, max_bytes, &bytes, error);
    if (status != PM_OK) return status;
    if (!pm_add_size(bytes, 1, &room) || !pm_align_size(room, PM_MOST_ALIGNMENT, &room)) {
        return pm_fail_memory(error, path);
    }
    uint8_t *buffer = aligned_alloc(PM_MOST_ALIGNMENT, room);
    if (!buffer) return pm_fail_memory(error, path);
    status = read_exactly(fd, path, buffer, bytes, error);
    if (status != PM_OK) {
        free(buffer);
        return status;
    }
    buffer[bytes] = 0;
    *data = buffer;
    *size = bytes;
    return PM_OK;
}

pm_status pm_read_file(const char *path, size_t max_bytes, uint8_t **data, size_t *size, pm_error *error)
{
    *data = NULL;
    *size = 0;
    /* O_NONBLOCK: opening a pipe that nobody writes to must not hang; it is refused a few lines on. */
    int fd = open_retrying(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) return fail_open(error, path);
    pm_status status = read_open_file(fd, path, max_bytes, data, size, error);
    (void)close_once(fd);
    return status;
}
