/* Whole files in and out.
 *
 * A file is never written in place. What is new goes to a temporary file in the same directory, is flushed to
 * the disk, and takes the target's name in one atomic step; a crash, a full disk or a lost power supply at
 * any moment leaves either the old file or the new one, both complete. */
#ifndef PM_FILES_FILE_IO_H
#define PM_FILES_FILE_IO_H

#include "base/status.h"

/* A file that is being written; see pm_file_begin. */
typedef struct pm_file_writer pm_file_writer;

/* Starts to write `path`; what is there stays as it is until pm_file_commit. A symbolic link is followed, and
 * stays one; a file that is replaced passes on its permissions, and on Windows is not if it is read-only.
 * *out must go to pm_file_commit or pm_file_abort. Fails with PM_BAD_USAGE when `path` is something other
 * than a regular file (a directory, a device), with PM_IO when its directory cannot be written. */
pm_status pm_file_begin(const char *path, pm_file_writer **out, pm_error *error);

/* Appends `size` bytes. After a failure (PM_IO: disk full, quota, ...) only pm_file_abort is left to do. */
pm_status pm_file_append(pm_file_writer *writer, const void *data, size_t size, pm_error *error);

/* Flushes, gives the file its name, flushes the directory, and frees `writer` in any case. When it fails
 * (PM_IO) the old file is intact and the temporary one removed; only if the very last step fails, flushing
 * the directory, the new file is in place already, complete, and the message says so. */
pm_status pm_file_commit(pm_file_writer *writer, pm_error *error);

/* Drops what was written and frees `writer`; NULL is accepted. */
void pm_file_abort(pm_file_writer *writer);

/* A part of a file's content. */
typedef struct pm_bytes {
    const void *data;
    size_t size;
} pm_bytes;

/* Writes the chunks one after the other as the file `path`: begin, append, commit. */
pm_status pm_write_file(const char *path, const pm_bytes *chunks, size_t count, pm_error *error);

/* Reads a whole regular file. *data is aligned to PM_MOST_ALIGNMENT bytes (base/posix.h), ends with a NUL
 * that *size does not count, and is the caller's to free(). Fails with PM_IO when it cannot be read, with
 * PM_BAD_FILE when it is larger than `max_bytes`. */
pm_status pm_read_file(const char *path, size_t max_bytes, uint8_t **data, size_t *size, pm_error *error);

#endif
