/* A growing list of names; see names.h. */
#include "data/names.h"

#include <stdlib.h>
#include <string.h>

bool pm_names_add(pm_names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room * 2 + 16;
        char **list = realloc(names->list, room * sizeof *list);
        if (!list) return false;
        names->list = list;
        names->room = room;
    }
    char *copy = strdup(name);
    if (!copy) return false;
    names->list[names->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void pm_names_sort(pm_names *names)
{
    if (names->count > 0) qsort(names->list, names->count, sizeof *names->list, compare_names);
}

void pm_names_free(pm_names *names)
{
    for (size_t i = 0; i < names->count; i++) free(names->list[i]);
    free(names->list);
    *names = (pm_names){0};
}
