/* The system calls of file_io.c, in a table that a test may exchange to let the n-th call fail. Nothing else
 * may touch it. */
#ifndef PM_FILES_FILE_CALLS_H
#define PM_FILES_FILE_CALLS_H

#include "base/posix.h"

/* Each behaves as the POSIX function of its name, errno included. */
typedef struct pm_file_calls {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*fstat)(int fd, struct stat *out);
    ssize_t (*read)(int fd, void *data, size_t size);
    ssize_t (*write)(int fd, const void *data, size_t size);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
} pm_file_calls;

/* The system's own functions. */
extern const pm_file_calls pm_system_file_calls;

/* What file_io.c calls: &pm_system_file_calls, unless a test put another table here. */
extern const pm_file_calls *pm_file_calls_in_use;

#endif
