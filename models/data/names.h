/* A growing list of names or paths. */
#ifndef PM_DATA_NAMES_H
#define PM_DATA_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* All zero: empty. */
typedef struct pm_names {
    char **list; /* [count] */
    size_t count, room;
} pm_names;

/* Puts a copy of `name` at the end: false when memory ran out. */
bool pm_names_add(pm_names *names, const char *name);

/* In the order of their bytes, which no locale changes. */
void pm_names_sort(pm_names *names);

/* Leaves it empty. */
void pm_names_free(pm_names *names);

#endif
