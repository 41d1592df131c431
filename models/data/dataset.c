/* Data sets of small labelled pictures; see dataset.h. */
#include "data/dataset_internal.h"

#include "files/file_error.h"
#include "files/image.h"

#include "base/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *pm_join_path(const char *directory, const char *name, const char *suffix)
{
    size_t room = strlen(directory) + strlen(name) + strlen(suffix) + 2;
    char *path = malloc(room);
    if (path) (void)snprintf(path, room, "%s/%s%s", directory, name, suffix);
    return path;
}

bool pm_dataset_add_class(pm_dataset *dataset, const char *name, size_t length)
{
    char **names = realloc(dataset->class_names, (dataset->classes + 1) * sizeof *names);
    if (!names) return false;
    dataset->class_names = names;
    char *copy = strndup(name, length);
    if (!copy) return false;
    names[dataset->classes++] = copy;
    return true;
}

static pm_status check_directory(const pm_dataset_options *options, pm_error *error)
{
    const char *path = options->path;
    struct stat info;
    if (stat(path, &info) != 0) {
        if (strcmp(path, PM_FASHION_MNIST_DIRECTORY) == 0) {
            return pm_fail_at(error, PM_IO, path,
                              "Fashion-MNIST is not installed; apt-get install dataset-fashion-mnist, or "
                              "name another directory");
        }
        return pm_fail_at(error, PM_IO, path, "cannot be opened: %s", strerror(errno));
    }
    if (!S_ISDIR(info.st_mode))
        return pm_fail_at(error, PM_IO, path, "is not a directory; a data set is one");
    return PM_OK;
}

pm_status pm_dataset_open(const pm_dataset_options *options, pm_dataset **out, pm_error *error)
{
    *out = NULL;
    pm_dataset_options chosen = *options;
    if (!chosen.path) chosen.path = PM_FASHION_MNIST_DIRECTORY;
    if (!(chosen.test_fraction >= 0 && chosen.test_fraction <= 0.9)) {
        return pm_fail(error, PM_BAD_USAGE, "the test fraction of a data set is from 0 to 0.9");
    }
    if (chosen.size > PM_IMAGE_MAX_SIDE) {
        return pm_fail(error, PM_BAD_USAGE, "the picture size %u is too large; at most %d", chosen.size,
                       PM_IMAGE_MAX_SIDE);
    }
    pm_status status = check_directory(&chosen, error);
    if (status != PM_OK) return status;
    pm_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return pm_fail_memory(error, chosen.path);
    status = pm_dataset_is_idx(chosen.path) ? pm_dataset_load_idx(&chosen, dataset, error)
                                            : pm_dataset_load_folder(&chosen, dataset, error);
    if (status != PM_OK) {
        pm_dataset_close(dataset);
        return status;
    }
    *out = dataset;
    return PM_OK;
}

void pm_dataset_close(pm_dataset *dataset)
{
    if (!dataset) return;
    for (uint32_t i = 0; i < dataset->classes; i++) free(dataset->class_names[i]);
    free(dataset->class_names);
    free(dataset->labels);
    free(dataset->pixels);
    free(dataset);
}
