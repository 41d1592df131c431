/* What this code uses of POSIX: on Windows, made of what is there (posix_windows.c). Code that needs files,
 * folders or the terminal includes this header and none of the system's. */
#ifndef PM_BASE_POSIX_H
#define PM_BASE_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef _WIN32

#define PM_OPEN_FLAGS O_CLOEXEC
/* Whether a folder can be opened and flushed, so that the names in it survive a power cut. */
enum { PM_FLUSHES_FOLDERS = 1 };

/* On macOS fsync() leaves what was written in the drive's cache. */
static inline int pm_fsync(int fd)
{
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    return fsync(fd);
}

#else

#include <direct.h>
#include <io.h>

#define PM_OPEN_FLAGS (O_BINARY | O_NOINHERIT)
enum { PM_FLUSHES_FOLDERS = 0 }; /* Windows does that by itself */
#define O_DIRECTORY 0
#define STDIN_FILENO 0
#define STDOUT_FILENO 1
#define STDERR_FILENO 2

#define O_NONBLOCK 0
#define pm_fsync _commit
/* Aligned to 16 bytes, and what free() frees. */
#define aligned_alloc(alignment, bytes) malloc(bytes)
#define lstat stat
#define mkdir(path, mode) _mkdir(path)
#define realpath(path, resolved) _fullpath(resolved, path, 0)
#define read pm_windows_read
#define write pm_windows_write
#define rename pm_windows_rename

char *strndup(const char *text, size_t most);
ssize_t pm_windows_read(int fd, void *to, size_t bytes);
ssize_t pm_windows_write(int fd, const void *from, size_t bytes);
/* Replaces a file that is there, as POSIX wants. */
int pm_windows_rename(const char *from, const char *to);

#endif

#endif
