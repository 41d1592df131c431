/* What Windows lacks of POSIX; see posix.h. */
#ifdef _WIN32

#include "base/posix.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

char *strndup(const char *text, size_t most)
{
    size_t length = strnlen(text, most);
    char *copy = malloc(length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

ssize_t pm_windows_read(int fd, void *to, size_t bytes)
{
    return _read(fd, to, bytes < INT_MAX ? (unsigned)bytes : INT_MAX);
}

ssize_t pm_windows_write(int fd, const void *from, size_t bytes)
{
    return _write(fd, from, bytes < INT_MAX ? (unsigned)bytes : INT_MAX);
}

int pm_windows_stat(const char *path, struct stat *out)
{
    size_t length = strlen(path);
    while (length > 1 && pm_is_separator(path[length - 1]) && path[length - 2] != ':') length--;
    char *plain = strndup(path, length);
    if (!plain) return -1;
    int result = (_stat64)(plain, out), reason = errno;
    free(plain);
    errno = reason;
    return result;
}

int pm_windows_rename(const char *from, const char *to)
{
    DWORD old = GetFileAttributesA(to);
    if (old != INVALID_FILE_ATTRIBUTES && old & FILE_ATTRIBUTE_READONLY) { /* wine would replace it */
        errno = EACCES;
        return -1;
    }
    if (MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) return 0;
    DWORD reason = GetLastError();
    switch (reason) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        errno = ENOENT;
        break;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION: /* somebody has it open */
        errno = EACCES;
        break;
    default:
        errno = EIO;
    }
    return -1;
}

int pm_windows_unlink(const char *path)
{
    (void)_chmod(path, _S_IREAD | _S_IWRITE);
    return _unlink(path);
}

int pm_windows_isatty(int fd)
{
    HANDLE console = (HANDLE)_get_osfhandle(fd);
    DWORD mode;
    return GetConsoleMode(console, &mode) &&
           SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

#else
typedef int pm_not_windows; /* a C file is not empty */
#endif
