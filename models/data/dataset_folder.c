/* Data sets of PNG and JPEG files in folders; see dataset.h. */
#include "data/dataset_internal.h"

#include "base/checked.h"
#include "data/names.h"
#include "files/file_error.h"
#include "files/image.h"

#include "base/posix.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Directories --------------------------------------------------------------------------------------- */

static bool is_picture_name(const char *name)
{
    const char *ending = strrchr(name, '.');
    return ending && (strcasecmp(ending, ".png") == 0 || strcasecmp(ending, ".jpg") == 0 ||
                      strcasecmp(ending, ".jpeg") == 0);
}

/* Sorts a directory's entry into `folders` or `pictures`, or passes it over. */
static pm_status add_entry(const char *directory, const char *name, pm_names *folders, pm_names *pictures,
                           pm_error *error)
{
    if (name[0] == '.') return PM_OK;
    char *path = pm_join_path(directory, name, "");
    if (!path) return pm_fail_memory(error, directory);
    struct stat info;
    pm_status status = PM_OK;
    pm_names *into = NULL;
    if (stat(path, &info) != 0) {
        status = pm_fail_at(error, PM_IO, path, "cannot be looked up: %s", strerror(errno));
    } else if (S_ISDIR(info.st_mode)) {
        into = folders;
    } else if (is_picture_name(name)) {
        into = pictures;
    }
    if (into && !pm_names_add(into, name)) status = pm_fail_memory(error, path);
    free(path);
    return status;
}

/* The folders and pictures of a directory, sorted by name. */
static pm_status list_directory(const char *directory, pm_names *folders, pm_names *pictures, pm_error *error)
{
    DIR *stream = opendir(directory);
    if (!stream) return pm_fail_at(error, PM_IO, directory, "cannot be opened: %s", strerror(errno));
    pm_status status = PM_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            if (errno != 0)
                status = pm_fail_at(error, PM_IO, directory, "cannot be read: %s", strerror(errno));
            break;
        }
        status = add_entry(directory, entry->d_name, folders, pictures, error);
        if (status != PM_OK) break;
    }
    (void)closedir(stream);
    pm_names_sort(folders);
    pm_names_sort(pictures);
    return status;
}

/* ---- The split ----------------------------------------------------------------------------------------- */

typedef struct ranked {
    uint64_t hash;
    size_t index;
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t hash_of(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

/* Says of each of a class's `count` pictures, the first of which has the number `first` in the set, whether
 * it is for testing: those of the lowest hashes, so that their number is exact. From malloc; NULL when memory
 * ran out. */
static bool *choose_for_testing(size_t count, size_t first, const pm_dataset_options *options)
{
    bool *for_testing = calloc(count + 1, sizeof *for_testing);
    ranked *order = calloc(count + 1, sizeof *order);
    if (!for_testing || !order) {
        free(for_testing);
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) order[i] = (ranked){hash_of(hash_of(options->seed) + first + i), i};
    qsort(order, count, sizeof *order, compare_ranked);
    size_t wanted = (size_t)((double)count * options->test_fraction + 0.5);
    if (wanted == 0 && count >= 2 && options->test_fraction > 0) wanted = 1;
    if (wanted == count && count > 0) wanted--; /* something to learn from */
    for (size_t i = 0; i < wanted; i++) for_testing[order[i].index] = true;
    free(order);
    return for_testing;
}

/* ---- Pictures ------------------------------------------------------------------------------------------ */

typedef struct loader {
    const pm_dataset_options *options;
    pm_dataset *out;
    size_t room;            /* pictures that out has memory for */
    size_t seen;            /* pictures of both splits so far */
    char *first;            /* path of the first, that the others are compared with */
    uint32_t width, height; /* of the first */
    bool grey;              /* all so far */
    pm_error *error;
} loader;

/* Reads a picture as RGB, resized if that is wanted, and compares its size with the first one's. */
static pm_status read_picture(loader *to, const char *path, pm_image *image)
{
    pm_status status = pm_image_read(path, 3, image, to->error);
    if (status != PM_OK) return status;
    uint32_t size = to->options->size;
    if (size > 0 && (image->width != size || image->height != size)) {
        status = pm_image_fit_square(image, size, to->error);
        if (status != PM_OK) return pm_fail_prefix(to->error, status, "%s", path);
    }
    if (!to->first) {
        to->first = strdup(path);
        if (!to->first) return pm_fail_memory(to->error, path);
        to->width = image->width;
        to->height = image->height;
    }
    if (image->width != to->width || image->height != to->height) {
        return pm_fail_at(to->error, PM_BAD_FILE, path,
                          "has %u x %u pixels, %s has %u x %u; give a size to crop and resize them all to",
                          image->width, image->height, to->first, to->width, to->height);
    }
    to->grey = to->grey && pm_image_is_grey(image);
    return PM_OK;
}

/* Makes room for one picture more. */
static bool grow(loader *to)
{
    pm_dataset *out = to->out;
    if (out->count < to->room) return true;
    size_t room = to->room * 2 + 64, bytes;
    if (room > UINT32_MAX || !pm_mul_size(room, (size_t)to->width * to->height * 3, &bytes)) return false;
    uint8_t *pixels = realloc(out->pixels, bytes);
    if (!pixels) return false;
    out->pixels = pixels;
    uint32_t *labels = realloc(out->labels, room * sizeof *labels);
    if (!labels) return false;
    out->labels = labels;
    to->room = room;
    return true;
}

static pm_status add_picture(loader *to, const char *path, bool wanted)
{
    pm_image image;
    pm_status status = read_picture(to, path, &image);
    if (status == PM_OK && wanted) {
        if (grow(to)) {
            size_t bytes = (size_t)to->width * to->height * 3;
            memcpy(to->out->pixels + to->out->count * bytes, image.pixels, bytes);
            to->out->labels[to->out->count++] = to->out->classes - 1;
        } else {
            status = pm_fail_memory(to->error, path);
        }
    }
    pm_image_free(&image);
    return status;
}

/* Adds the pictures of a directory as the class that was named last. */
static pm_status add_pictures(loader *to, const char *directory, const pm_names *pictures)
{
    if (pictures->count == 0) {
        return pm_fail_at(to->error, PM_BAD_FILE, directory, "there is no PNG or JPEG file in it");
    }
    bool *for_testing = choose_for_testing(pictures->count, to->seen, to->options);
    pm_status status = for_testing ? PM_OK : pm_fail_memory(to->error, directory);
    for (size_t i = 0; i < pictures->count && status == PM_OK; i++) {
        char *path = pm_join_path(directory, pictures->list[i], "");
        status = path ? add_picture(to, path, for_testing[i] == (to->options->split == PM_SPLIT_TEST))
                      : pm_fail_memory(to->error, directory);
        free(path);
    }
    to->seen += pictures->count;
    free(for_testing);
    return status;
}

static pm_status add_class_folder(loader *to, const char *name)
{
    pm_names folders = {0}, pictures = {0};
    char *directory = pm_join_path(to->options->path, name, "");
    pm_status status = directory && pm_dataset_add_class(to->out, name, strlen(name))
                           ? list_directory(directory, &folders, &pictures, to->error)
                           : pm_fail_memory(to->error, name);
    if (status == PM_OK) status = add_pictures(to, directory, &pictures);
    pm_names_free(&folders);
    pm_names_free(&pictures);
    free(directory);
    return status;
}

/* Pictures that lie in the data set's own directory are one class, named after it. */
static pm_status add_single_class(loader *to, const pm_names *pictures)
{
    const char *end = to->options->path + strlen(to->options->path);
    while (end > to->options->path && pm_is_separator(end[-1])) end--;
    const char *name = end;
    while (name > to->options->path && !pm_is_separator(name[-1])) name--;
    if (!pm_dataset_add_class(to->out, name, (size_t)(end - name))) {
        return pm_fail_memory(to->error, to->options->path);
    }
    return add_pictures(to, to->options->path, pictures);
}

/* Fills in what is known at the end, and keeps one channel of three when all pictures are grey. */
static pm_status finish(loader *to)
{
    pm_dataset *out = to->out;
    if (out->count == 0) {
        return pm_fail_at(
            to->error, PM_BAD_USAGE, to->options->path,
            "no picture is left for testing; give a test fraction above 0 and two pictures or more");
    }
    out->width = to->width;
    out->height = to->height;
    out->channels = to->grey ? 1 : 3;
    size_t pixels = (size_t)out->count * out->width * out->height;
    for (size_t i = 0; to->grey && i < pixels; i++) out->pixels[i] = out->pixels[3 * i];
    uint8_t *trimmed = realloc(out->pixels, pixels * out->channels);
    if (trimmed) out->pixels = trimmed;
    return PM_OK;
}

pm_status pm_dataset_load_folder(const pm_dataset_options *options, pm_dataset *out, pm_error *error)
{
    loader to = {.options = options, .out = out, .grey = true, .error = error};
    pm_names folders = {0}, pictures = {0};
    pm_status status = list_directory(options->path, &folders, &pictures, error);
    if (status == PM_OK && folders.count == 0 && pictures.count == 0) {
        status = pm_fail_at(error, PM_BAD_FILE, options->path,
                            "is no data set: it holds neither IDX files nor folders of PNG or JPEG files");
    } else if (status == PM_OK && folders.count == 0) {
        status = add_single_class(&to, &pictures);
    }
    for (size_t i = 0; i < folders.count && status == PM_OK; i++)
        status = add_class_folder(&to, folders.list[i]);
    if (status == PM_OK) status = finish(&to);
    free(to.first);
    pm_names_free(&folders);
    pm_names_free(&pictures);
    return status;
}
