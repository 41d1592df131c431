/* Shared libraries that are looked for at run time and can be done without. */
#ifndef PM_BASE_LIBRARY_H
#define PM_BASE_LIBRARY_H

/* Opens the library of that file name, from where the system looks for such; NULL when there is none. It goes
 * with pm_library_close, which accepts NULL. */
void *pm_library_open(const char *name);
void pm_library_close(void *library);

/* One of its functions, to be cast to what it is; NULL when it has none of that name. */
typedef void pm_function(void);
pm_function *pm_library_function(void *library, const char *name);

#endif
