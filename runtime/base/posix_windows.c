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

int pm_windows_rename(const char *from, const char *to)
{
    if (MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) return 0;
    DWORD reason = GetLastError();
    errno = reason == ERROR_FILE_NOT_FOUND || reason == ERROR_PATH_NOT_FOUND ? ENOENT
            : reason == ERROR_ACCESS_DENIED                                  ? EACCES
                                                                             : EIO;
    return -1;
}

#else
typedef int pm_not_windows; /* a C file is not empty */
#endif
