/* Data sets of IDX files, such as MNIST and Fashion-MNIST; see dataset.h. */
#include "data/dataset_internal.h"

#include "base/checked.h"
#include "files/file_error.h"
#include "files/idx.h"
#include "files/image.h"

#include "base/posix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

/* The first of the names in use that exists in `directory`, from malloc; the first name of all if none
 * does. */
static char *find_file(const char *directory, pm_split split, bool images, bool *exists)
{
    static const char *const prefixes[2][2] = {{"train", "train"}, {"t10k", "test"}};
    static const char *const endings[2][4] = {
        {"-labels-idx1-ubyte", "-labels-idx1-ubyte.gz", "-labels.idx1-ubyte", "-labels.idx1-ubyte.gz"},
        {"-images-idx3-ubyte", "-images-idx3-ubyte.gz", "-images.idx3-ubyte", "-images.idx3-ubyte.gz"}};
    for (int i = 0; i < 8; i++) {
        struct stat info;
        char *path = pm_join_path(directory, prefixes[split == PM_SPLIT_TEST][i / 4], endings[images][i % 4]);
        *exists = path && stat(path, &info) == 0;
        if (*exists || !path) return path;
        free(path);
    }
    return pm_join_path(directory, prefixes[split == PM_SPLIT_TEST][0], endings[images][0]);
}

bool pm_dataset_is_idx(const char *directory)
{
    for (int i = 0; i < 4; i++) {
        bool exists;
        free(find_file(directory, i & 1 ? PM_SPLIT_TEST : PM_SPLIT_TRAIN, i & 2, &exists));
        if (exists) return true;
    }
    return false;
}

/* Reads the labels of a split and its largest label. */
static pm_status read_labels(const char *path, pm_idx *labels, uint32_t *largest, pm_error *error)
{
    pm_status status = pm_idx_read(path, labels, error);
    if (status != PM_OK) return status;
    if (labels->type != PM_IDX_U8 || labels->rank != 1) {
        return pm_fail_at(error, PM_BAD_FILE, path,
                          "it does not hold labels, which have one dimension of bytes");
    }
    *largest = 0;
    for (size_t i = 0; i < labels->bytes; i++) {
        uint32_t label = ((const uint8_t *)labels->data)[i];
        if (label > *largest) *largest = label;
    }
    return PM_OK;
}

/* Both splits have the classes that the training labels say, so that a model of one fits the other. */
static pm_status read_training_labels(const char *directory, pm_idx *labels, uint32_t *largest, bool *exist,
                                      pm_error *error)
{
    char *path = find_file(directory, PM_SPLIT_TRAIN, false, exist);
    pm_status status = path ? PM_OK : pm_fail_memory(error, directory);
    if (status == PM_OK && *exist) status = read_labels(path, labels, largest, error);
    free(path);
    return status;
}

/* MNIST itself and many of its relatives use the same names of files, so content decides. */
static bool is_fashion_mnist(const pm_idx *labels)
{
    uLong sum = crc32(0, labels->data, (uInt)labels->bytes);
    return (labels->bytes == 60000 && sum == 0x2ed6e46a) || (labels->bytes == 10000 && sum == 0x242bc73f);
}

static pm_status name_classes(pm_dataset *out, uint32_t classes, bool fashion, const char *path,
                              pm_error *error)
{
    static const char *const fashion_names[10] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                  "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                  "Bag",         "Ankle boot"};
    for (uint32_t i = 0; i < classes; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%u", i);
        const char *name = fashion && classes == 10 ? fashion_names[i] : number;
        if (!pm_dataset_add_class(out, name, strlen(name))) return pm_fail_memory(error, path);
    }
    return PM_OK;
}

/* Fills labels and classes. */
static pm_status load_labels(const pm_dataset_options *options, const char *path, pm_dataset *out,
                             pm_error *error)
{
    pm_idx labels = {0}, training = {0};
    uint32_t largest = 0, training_largest = 0;
    bool training_exist = false;
    pm_status status = read_labels(path, &labels, &largest, error);
    if (status == PM_OK) {
        status = read_training_labels(options->path, &training, &training_largest, &training_exist, error);
    }
    if (status == PM_OK && training_exist && largest > training_largest) {
        status =
            pm_fail_at(error, PM_BAD_FILE, path, "it has the label %u; the training labels know %u classes",
                       largest, training_largest + 1);
    }
    if (status == PM_OK) {
        uint32_t classes = (training_exist ? training_largest : largest) + 1;
        status =
            name_classes(out, classes, is_fashion_mnist(training_exist ? &training : &labels), path, error);
    }
    if (status == PM_OK) {
        out->count = (uint32_t)labels.bytes;
        out->labels = calloc(labels.bytes + 1, sizeof *out->labels);
        if (!out->labels) status = pm_fail_memory(error, path);
        for (size_t i = 0; out->labels && i < labels.bytes; i++) {
            out->labels[i] = ((const uint8_t *)labels.data)[i];
        }
    }
    pm_idx_free(&labels);
    pm_idx_free(&training);
    return status;
}

static pm_status check_images(const pm_idx *images, const pm_dataset *labelled, const char *path,
                              pm_error *error)
{
    uint32_t channels = images->rank == 4 ? images->shape[3] : 1;
    if (images->type != PM_IDX_U8 || images->rank < 3 || images->rank > 4 ||
        (channels != 1 && channels != 3)) {
        return pm_fail_at(error, PM_BAD_FILE, path, "it does not hold grey or RGB pictures of bytes");
    }
    if (images->shape[0] != labelled->count) {
        return pm_fail_at(error, PM_BAD_FILE, path, "it has %u pictures, and there are %u labels",
                          images->shape[0], labelled->count);
    }
    if (images->bytes == 0)
        return pm_fail_at(error, PM_BAD_FILE, path, "it has no pictures, or pictures of no size");
    if (images->shape[1] > PM_IMAGE_MAX_SIDE || images->shape[2] > PM_IMAGE_MAX_SIDE) {
        return pm_fail_at(error, PM_BAD_FILE, path, "its pictures of %u x %u pixels are too large",
                          images->shape[2], images->shape[1]);
    }
    return PM_OK;
}

/* Replaces the pixels by those of squares of `size`. */
static pm_status resize_all(pm_dataset *out, uint32_t size, const char *path, pm_error *error)
{
    size_t from_bytes = (size_t)out->height * out->width * out->channels, bytes, total;
    if (!pm_mul_size((size_t)size * size, out->channels, &bytes) || !pm_mul_size(bytes, out->count, &total)) {
        return pm_fail_memory(error, path);
    }
    uint8_t *pixels = malloc(total);
    if (!pixels) return pm_fail_memory(error, path);
    pm_status status = PM_OK;
    for (uint32_t i = 0; i < out->count && status == PM_OK; i++) {
        pm_image image;
        status = pm_image_create(out->width, out->height, out->channels, &image, error);
        if (status != PM_OK) break;
        memcpy(image.pixels, out->pixels + i * from_bytes, from_bytes);
        status = pm_image_fit_square(&image, size, error);
        if (status == PM_OK) memcpy(pixels + i * bytes, image.pixels, bytes);
        pm_image_free(&image);
    }
    free(out->pixels);
    out->pixels = pixels;
    out->width = out->height = size;
    return status;
}

static pm_status load_images(const pm_dataset_options *options, const char *path, pm_dataset *out,
                             pm_error *error)
{
    pm_idx images;
    pm_status status = pm_idx_read(path, &images, error);
    if (status == PM_OK) status = check_images(&images, out, path, error);
    if (status == PM_OK) {
        out->height = images.shape[1];
        out->width = images.shape[2];
        out->channels = images.rank == 4 ? images.shape[3] : 1;
        out->pixels = images.data; /* taken over */
        images.data = NULL;
        bool fits = options->size == 0 || (options->size == out->width && options->size == out->height);
        if (!fits) status = resize_all(out, options->size, path, error);
    }
    pm_idx_free(&images);
    return status;
}

pm_status pm_dataset_load_idx(const pm_dataset_options *options, pm_dataset *out, pm_error *error)
{
    bool exists;
    char *labels = find_file(options->path, options->split, false, &exists);
    char *images = find_file(options->path, options->split, true, &exists);
    pm_status status = labels && images ? PM_OK : pm_fail_memory(error, options->path);
    if (status == PM_OK) status = load_labels(options, labels, out, error);
    if (status == PM_OK) status = load_images(options, images, out, error);
    free(labels);
    free(images);
    return status;
}
