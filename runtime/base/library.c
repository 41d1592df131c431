/* See library.h: dlopen(), or Windows' own. */
#include "base/library.h"

#include <stddef.h>
#include <string.h>

#ifdef _WIN32

#include <windows.h>

void *pm_library_open(const char *name)
{
    return (void *)LoadLibraryA(name);
}

void pm_library_close(void *library)
{
    if (library) (void)FreeLibrary((HMODULE)library);
}

pm_function *pm_library_function(void *library, const char *name)
{
    FARPROC found = GetProcAddress((HMODULE)library, name);
    pm_function *function;
    memcpy(&function, &found, sizeof function);
    return function;
}

#else

#include <dlfcn.h>

void *pm_library_open(const char *name)
{
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

void pm_library_close(void *library)
{
    if (library) (void)dlclose(library);
}

pm_function *pm_library_function(void *library, const char *name)
{
    void *found = dlsym(library, name); /* C has no cast from this to a function, POSIX promises one */
    pm_function *function;
    memcpy(&function, &found, sizeof function);
    return function;
}

#endif
