/* What tests use of POSIX beside base/posix.h, made of what Windows has. */
#ifndef PM_TESTS_WINDOWS_HELPERS_H
#define PM_TESTS_WINDOWS_HELPERS_H

/* Whether a folder can hold links and pipes. Windows lets an administrator alone make links, and keeps pipes
 * elsewhere. */
#ifndef _WIN32
enum { HAS_LINKS_AND_PIPES = 1 };
#else

#include "base/posix.h"

#include <stdlib.h>

enum { HAS_LINKS_AND_PIPES = 0 };

#define EDQUOT ENOSPC
#define S_ISLNK(mode) ((void)(mode), 0)
#define truncate truncate64

static inline int geteuid(void)
{
    return 0; /* as root's: permissions do not keep it out of folders */
}

static inline int mkfifo(const char *path, int mode)
{
    (void)path, (void)mode;
    errno = ENOSYS;
    return -1;
}

static inline int symlink(const char *target, const char *path)
{
    (void)target, (void)path;
    errno = ENOSYS;
    return -1;
}

static inline char *mkdtemp(char *pattern)
{
    return _mktemp(pattern) && mkdir(pattern, 0700) == 0 ? pattern : NULL;
}

static inline int setenv(const char *name, const char *value, int replace)
{
    (void)replace;
    return _putenv_s(name, value);
}

static inline int unsetenv(const char *name)
{
    return _putenv_s(name, ""); /* which removes it */
}

#endif
#endif
