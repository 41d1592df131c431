/* What the loaders of data sets share; see dataset.h for what programs use. */
#ifndef PM_DATA_DATASET_INTERNAL_H
#define PM_DATA_DATASET_INTERNAL_H

#include "data/dataset.h"

/* Whether `directory` has IDX files of the usual names. */
bool pm_dataset_is_idx(const char *directory);

/* The two loaders: each fills *out, which is all zero and which the caller closes even after a failure. */
pm_status pm_dataset_load_idx(const pm_dataset_options *options, pm_dataset *out, pm_error *error);
pm_status pm_dataset_load_folder(const pm_dataset_options *options, pm_dataset *out, pm_error *error);

/* Puts a copy of `name` (`length` bytes) at the end of class_names and counts it: false when memory ran
 * out. */
bool pm_dataset_add_class(pm_dataset *dataset, const char *name, size_t length);

/* "DIRECTORY/NAME SUFFIX" without the space, from malloc; NULL when memory ran out. */
char *pm_join_path(const char *directory, const char *name, const char *suffix);

#endif
