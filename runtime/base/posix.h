/* What this code uses of POSIX: on Windows, made of what is there (posix_windows.c). Code that needs files,
 * folders or the terminal includes this header and none of the system's. */
#ifndef PM_BASE_POSIX_H
#define PM_BASE_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef _WIN32

#define PM_OPEN_FLAGS O_CLOEXEC
/* Whether a folder can be opened and flushed, so that the names in it survive a power cut. */
enum { PM_FLUSHES_FOLDERS = 1 };
/* What may be asked of aligned_alloc(). */
enum { PM_MOST_ALIGNMENT = 64 };

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
enum { PM_MOST_ALIGNMENT = 16 }; /* nothing that free() frees has more */
#define aligned_alloc(alignment, bytes) malloc(bytes)
#define isatty pm_windows_isatty
#define lstat stat
#define _stat64(path, out) pm_windows_stat(path, out) /* which mingw calls stat(), and its struct alike */
#define mkdir(path, mode) _mkdir(path)
#define realpath(path, resolved) _fullpath(resolved, path, 0)
#define read pm_windows_read
#define write pm_windows_write
#define rename pm_windows_rename
#define unlink pm_windows_unlink

char *strndup(const char *text, size_t most);
ssize_t pm_windows_read(int fd, void *to, size_t bytes);
ssize_t pm_windows_write(int fd, const void *from, size_t bytes);
/* Of a folder also when its path ends with a separator. */
int pm_windows_stat(const char *path, struct stat *out);
/* Replaces a file that is there, as POSIX wants, unless it is read-only. */
int pm_windows_rename(const char *from, const char *to);
/* Removes a file that is read-only, too. */
int pm_windows_unlink(const char *path);
/* 1 if it is a console, which from then on obeys escape sequences; 0 otherwise. */
int pm_windows_isatty(int fd);

#endif

/* Whether a character ends the name of a folder in a path. */
static inline bool pm_is_separator(char c)
{
#ifdef _WIN32
    if (c == '\\') return true;
#endif
    return c == '/';
}

/* The last separator of a path; NULL when there is none. */
static inline const char *pm_last_separator(const char *path)
{
    const char *last = NULL;
    for (; *path; path++) last = pm_is_separator(*path) ? path : last;
    return last;
}

/* The user's own folder; NULL when nothing says which it is. */
static inline const char *pm_home_folder(void)
{
    const char *home = getenv("HOME");
#ifdef _WIN32
    if (!home || !*home) home = getenv("USERPROFILE");
#endif
    return home && *home ? home : NULL;
}

/* Where files go that nobody keeps. */
static inline const char *pm_temporary_folder(void)
{
    const char *place = getenv("TMPDIR");
#ifdef _WIN32
    if (!place || !*place) place = getenv("TEMP");
#endif
    return place && *place ? place : "/tmp";
}

/* From here on what is written to standard output stays as it is: Windows would end lines with two
 * characters. */
static inline void pm_plain_output(void)
{
#ifdef _WIN32
    (void)_setmode(STDOUT_FILENO, O_BINARY);
#endif
}

#endif
