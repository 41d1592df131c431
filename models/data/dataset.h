/* Data sets of small labelled pictures, in memory. */
#ifndef PM_DATA_DATASET_H
#define PM_DATA_DATASET_H

#include "pumice.h"

typedef struct pm_dataset {
    uint32_t count, height, width, channels; /* channels: 1 or 3 */
    uint32_t classes;                        /* the same for both splits */
    uint8_t *pixels;                         /* [count][height][width][channels] */
    uint32_t *labels;                        /* [count], each below classes */
    char **class_names;                      /* [classes], UTF-8 */
} pm_dataset;

typedef enum pm_split { PM_SPLIT_TRAIN, PM_SPLIT_TEST } pm_split;

typedef struct pm_dataset_options {
    const char *path; /* a directory of either kind below; NULL: PM_FASHION_MNIST_DIRECTORY */
    pm_split split;
    uint32_t size; /* crop every picture to a square and resize it to size x size; 0: leave as it is */
    /* Of a folder of pictures: 0 to 0.9, usually PM_TEST_FRACTION; 0: it is all for training. */
    double test_fraction;
    uint64_t seed; /* decides which pictures of a folder are for testing */
} pm_dataset_options;

#define PM_TEST_FRACTION 0.1

/* Where the Debian package dataset-fashion-mnist has its files. */
#define PM_FASHION_MNIST_DIRECTORY "/usr/share/datasets/fashion-mnist"

/* Opens one split of a data set. What kind it is follows from what the directory holds.
 *
 * IDX files by the names of MNIST (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., also with
 * .gz): there are as many classes as the training labels say. Fashion-MNIST is known by its labels and gets
 * its class names; classes of other sets are named "0", "1", ...
 *
 * One folder a class, with PNG or JPEG files in it, or the pictures themselves, which are then one class:
 * files of other kinds and names that begin with a dot are passed over. Classes and files count in the order
 * of their names' bytes. Pictures are grey if all of the set are, else RGB. The test split takes
 * test_fraction of each class, at least one of every class of two or more, chosen by a hash of seed and
 * index; the training split is the rest.
 *
 * The caller closes *out. Fails with PM_IO when something cannot be read, PM_BAD_FILE when a file is
 * malformed or does not fit the others, PM_BAD_USAGE when an option is out of range or the test split is
 * empty, PM_NO_MEMORY. */
pm_status pm_dataset_open(const pm_dataset_options *options, pm_dataset **out, pm_error *error);

/* Frees everything; NULL is accepted. */
void pm_dataset_close(pm_dataset *dataset);

#endif
