/* Data sets: IDX files and folders of pictures, how they are split, and what is said when something does not
 * fit. */
#include "file_helpers.h"

#include "data/dataset.h"
#include "files/image.h"
#include "files/png.h"

/* ---- Helpers ------------------------------------------------------------------------------------------- */

/* A fresh, empty directory below test_directory. */
static const char *fresh_directory(const char *name)
{
    static char path[256]; /* test_path()'s own memory is used again soon */
    (void)snprintf(path, sizeof path, "%s", test_path(name));
    remove_tree(path);
    assert_int_equal(mkdir(path, 0700), 0);
    return path;
}

static const char *inner_path(const char *directory, const char *name)
{
    char relative[128];
    (void)snprintf(relative, sizeof relative, "%s/%s", directory + strlen(test_directory) + 1, name);
    return test_path(relative);
}

/* Images [count][2][3] of values 0, 1, 2, ... */
static void put_idx_images(const char *directory, const char *name, uint8_t count)
{
    uint8_t file[16 + 6 * 255] = {0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 3};
    for (int i = 0; i < 6 * count; i++) file[16 + i] = (uint8_t)i;
    put_file(inner_path(directory, name), file, 16 + (size_t)(6 * count));
}

static void put_idx_labels(const char *directory, const char *name, const char *labels)
{
    uint8_t file[300] = {0, 0, 8, 1, 0, 0, 0, (uint8_t)strlen(labels)};
    for (size_t i = 0; labels[i]; i++) file[8 + i] = (uint8_t)(labels[i] - '0');
    put_file(inner_path(directory, name), file, 8 + strlen(labels));
}

/* A PNG whose pixels are all `value`, and red = value + 1 when it is colourful. */
static void put_png(const char *directory, const char *name, uint32_t width, uint32_t height, uint8_t value,
                    bool colourful)
{
    pm_error error;
    pm_image image;
    expect_ok(pm_image_create(width, height, 3, &image, &error), &error);
    memset(image.pixels, value, (size_t)width * height * 3);
    for (size_t i = 0; colourful && i < (size_t)width * height; i++) image.pixels[3 * i]++;
    expect_ok(pm_png_write(inner_path(directory, name), &image, NULL, 0, &error), &error);
    pm_image_free(&image);
}

static pm_dataset *open_ok(const pm_dataset_options *options)
{
    pm_error error;
    pm_dataset *set;
    expect_ok(pm_dataset_open(options, &set, &error), &error);
    return set;
}

static void open_fails(const pm_dataset_options *options, pm_status status, const char *message)
{
    pm_error error = {0};
    pm_dataset *set;
    expect_failure(pm_dataset_open(options, &set, &error), status, &error, message);
    assert_null(set);
}

/* ---- IDX ----------------------------------------------------------------------------------------------- */

static void put_idx_set(const char *directory)
{
    put_idx_images(directory, "train-images-idx3-ubyte", 4);
    put_idx_labels(directory, "train-labels-idx1-ubyte", "0201");
    put_idx_images(directory, "t10k-images-idx3-ubyte", 2);
    put_idx_labels(directory, "t10k-labels-idx1-ubyte", "10");
}

static void test_idx(void **state)
{
    (void)state;
    const char *directory = fresh_directory("idx");
    put_idx_set(directory);
    pm_dataset *set = open_ok(&(pm_dataset_options){.path = directory});
    assert_int_equal(set->count, 4);
    assert_int_equal(set->height, 2);
    assert_int_equal(set->width, 3);
    assert_int_equal(set->channels, 1);
    assert_int_equal(set->classes, 3);
    assert_string_equal(set->class_names[2], "2");
    assert_memory_equal(set->labels, ((const uint32_t[]){0, 2, 0, 1}), 16);
    for (int i = 0; i < 24; i++) assert_int_equal(set->pixels[i], i);
    pm_dataset_close(set);
    pm_dataset_close(NULL);

    set = open_ok(&(pm_dataset_options){.path = directory, .split = PM_SPLIT_TEST, .size = 1});
    assert_int_equal(set->count, 2);
    assert_int_equal(set->classes, 3); /* those of training */
    assert_int_equal(set->height, 1);
    assert_int_equal(set->width, 1);
    assert_int_equal(set->pixels[0], 2); /* the mean of 0, 1, 3, 4 */
    assert_int_equal(set->pixels[1], 8);
    pm_dataset_close(set);
}

static void test_idx_that_does_not_fit(void **state)
{
    (void)state;
    const char *directory = fresh_directory("idx");
    const pm_dataset_options train = {.path = directory}, test = {.path = directory, .split = PM_SPLIT_TEST};
    put_idx_set(directory);
    put_idx_labels(directory, "train-labels-idx1-ubyte", "020");
    open_fails(&train, PM_BAD_FILE, "train-images-idx3-ubyte: it has 4 pictures, and there are 3 labels");
    put_idx_labels(directory, "t10k-labels-idx1-ubyte", "13");
    open_fails(&test, PM_BAD_FILE,
               "t10k-labels-idx1-ubyte: it has the label 3; the training labels know 3 classes");
    put_idx_images(directory, "t10k-labels-idx1-ubyte", 2);
    open_fails(&test, PM_BAD_FILE, "does not hold labels");
    put_idx_set(directory);
    put_idx_labels(directory, "train-images-idx3-ubyte", "0000");
    open_fails(&train, PM_BAD_FILE, "does not hold grey or RGB pictures");
    put_idx_images(directory, "train-images-idx3-ubyte", 0);
    put_idx_labels(directory, "train-labels-idx1-ubyte", "");
    open_fails(&train, PM_BAD_FILE, "no pictures");
    put_file(inner_path(directory, "train-images-idx3-ubyte"), "<html>", 6);
    put_idx_labels(directory, "train-labels-idx1-ubyte", "0");
    open_fails(&train, PM_BAD_FILE, "train-images-idx3-ubyte: it is not an IDX file");
    (void)remove(inner_path(directory, "train-images-idx3-ubyte"));
    open_fails(&train, PM_IO, "train-images-idx3-ubyte: cannot be opened: No such file");
}

/* On a machine without the package, what is said there is tested instead. */
static void test_fashion_mnist(void **state)
{
    (void)state;
    if (access(PM_FASHION_MNIST_DIRECTORY, R_OK) != 0) {
        open_fails(&(pm_dataset_options){0}, PM_IO, "apt-get install dataset-fashion-mnist");
        skip();
    }
    pm_dataset *set = open_ok(&(pm_dataset_options){.split = PM_SPLIT_TEST});
    assert_int_equal(set->count, 10000);
    assert_int_equal(set->height, 28);
    assert_int_equal(set->width, 28);
    assert_int_equal(set->channels, 1);
    assert_int_equal(set->classes, 10);
    assert_string_equal(set->class_names[0], "T-shirt/top");
    assert_string_equal(set->class_names[9], "Ankle boot");
    uint32_t histogram[10] = {0};
    for (uint32_t i = 0; i < set->count; i++) histogram[set->labels[i]]++;
    for (int i = 0; i < 10; i++) assert_int_equal(histogram[i], 1000);
    assert_int_equal(set->labels[0], 9);
    pm_dataset_close(set);
    set = open_ok(&(pm_dataset_options){0});
    assert_int_equal(set->count, 60000);
    assert_string_equal(set->class_names[7], "Sneaker");
    pm_dataset_close(set);
}

/* ---- Folders ------------------------------------------------------------------------------------------- */

/* Two classes: cat with 20 pictures of values 0 to 19, dog with 10 of 100 to 109. */
static void put_folder_set(const char *directory)
{
    assert_int_equal(mkdir(inner_path(directory, "dog"), 0700), 0);
    assert_int_equal(mkdir(inner_path(directory, "cat"), 0700), 0);
    for (int i = 0; i < 30; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s/%02d.png", i < 20 ? "cat" : "dog", i < 20 ? i : i - 20);
        put_png(directory, name, 3, 2, (uint8_t)(i < 20 ? i : 80 + i), false);
    }
    put_file(inner_path(directory, "cat/notes.txt"), "x", 1);
    put_file(inner_path(directory, "cat/.hidden.png"), "x", 1);
    assert_int_equal(mkdir(inner_path(directory, ".git"), 0700), 0);
}

static void test_folder(void **state)
{
    (void)state;
    const char *directory = fresh_directory("folder");
    put_folder_set(directory);
    pm_dataset *set = open_ok(&(pm_dataset_options){.path = directory});
    assert_int_equal(set->count, 30);
    assert_int_equal(set->height, 2);
    assert_int_equal(set->width, 3);
    assert_int_equal(set->channels, 1); /* all are grey, though the files are RGB */
    assert_int_equal(set->classes, 2);
    assert_string_equal(set->class_names[0], "cat");
    assert_string_equal(set->class_names[1], "dog");
    for (uint32_t i = 0; i < 30; i++) {
        assert_int_equal(set->labels[i], i >= 20);
        for (uint32_t p = 0; p < 6; p++) assert_int_equal(set->pixels[i * 6 + p], i < 20 ? i : 80 + i);
    }
    pm_dataset_close(set);

    put_png(directory, "dog/10.PNG", 3, 2, 50, true);
    set = open_ok(&(pm_dataset_options){.path = directory});
    assert_int_equal(set->count, 31);
    assert_int_equal(set->channels, 3);
    const uint8_t *last = set->pixels + (size_t)30 * 18;
    assert_int_equal(last[0], 51);
    assert_int_equal(last[1], 50);
    pm_dataset_close(set);
}

/* The set of pictures of a split, by the values of their pixels. */
static void collect(const pm_dataset_options *options, int seen[256], uint32_t per_class[2])
{
    pm_dataset *set = open_ok(options);
    for (uint32_t i = 0; i < set->count; i++) {
        seen[set->pixels[i * 6]]++;
        per_class[set->labels[i]]++;
    }
    pm_dataset_close(set);
}

static void test_folder_split(void **state)
{
    (void)state;
    const char *directory = fresh_directory("folder");
    put_folder_set(directory);
    int first_test[256] = {0}, again[256] = {0}, other_seed[256] = {0}, all[256] = {0};
    uint32_t counts[2] = {0}, train_counts[2] = {0}, ignored[2] = {0};
    pm_dataset_options options = {.path = directory, .split = PM_SPLIT_TEST, .test_fraction = 0.1, .seed = 5};
    collect(&options, first_test, counts);
    assert_int_equal(counts[0], 2); /* a tenth of each class */
    assert_int_equal(counts[1], 1);
    collect(&options, again, ignored);
    assert_memory_equal(first_test, again, sizeof again);
    options.seed = 6;
    collect(&options, other_seed, ignored);
    assert_memory_not_equal(first_test, other_seed, sizeof again);
    options.seed = 5;
    memcpy(all, first_test, sizeof all);
    options.split = PM_SPLIT_TRAIN;
    collect(&options, all, train_counts);
    assert_int_equal(train_counts[0], 18);
    assert_int_equal(train_counts[1], 9);
    for (int i = 0; i < 30; i++)
        assert_int_equal(all[i < 20 ? i : 80 + i], 1); /* each in exactly one split */
}

static void test_folder_without_classes(void **state)
{
    (void)state;
    const char *directory = fresh_directory("flat");
    put_png(directory, "a.png", 2, 2, 1, false);
    put_png(directory, "b.png", 2, 2, 2, false);
    pm_dataset *set = open_ok(&(pm_dataset_options){.path = directory});
    assert_int_equal(set->count, 2);
    assert_int_equal(set->classes, 1);
    assert_string_equal(set->class_names[0], "flat");
    pm_dataset_close(set);
    static const char *const ends[] = {"//", "\\"};
    for (int i = 0; i < (pm_is_separator('\\') ? 2 : 1); i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s%s", directory, ends[i]);
        set = open_ok(&(pm_dataset_options){.path = path, .split = PM_SPLIT_TEST, .test_fraction = 0.01});
        assert_int_equal(set->count, 1); /* at least one of two */
        assert_string_equal(set->class_names[0], "flat");
        pm_dataset_close(set);
    }
}

static void test_folder_that_does_not_fit(void **state)
{
    (void)state;
    const char *directory = fresh_directory("folder");
    const pm_dataset_options options = {.path = directory};
    open_fails(&options, PM_BAD_FILE, "is no data set");
    assert_int_equal(mkdir(inner_path(directory, "empty"), 0700), 0);
    open_fails(&options, PM_BAD_FILE, "folder/empty: there is no PNG or JPEG file in it");
    put_png(directory, "empty/a.png", 2, 2, 1, false);
    put_png(directory, "empty/b.png", 2, 3, 1, false);
    open_fails(&options, PM_BAD_FILE, "empty/b.png: has 2 x 3 pixels, ");
    pm_dataset *set = open_ok(&(pm_dataset_options){.path = directory, .size = 4});
    assert_int_equal(set->count, 2);
    assert_int_equal(set->width, 4);
    assert_int_equal(set->height, 4);
    assert_int_equal(set->pixels[31], 1);
    pm_dataset_close(set);
    open_fails(&(pm_dataset_options){.path = directory, .size = 4, .split = PM_SPLIT_TEST}, PM_BAD_USAGE,
               "no picture is left for testing");
    put_file(inner_path(directory, "empty/c.jpg"), "no picture", 10);
    open_fails(&options, PM_BAD_FILE, "empty/b.png: has 2 x 3");
    open_fails(&(pm_dataset_options){.path = directory, .size = 4}, PM_BAD_FILE,
               "empty/c.jpg: it is neither");
    if (!HAS_LINKS_AND_PIPES) return;
    assert_int_equal(symlink("nowhere", inner_path(directory, "empty/d.png")), 0);
    open_fails(&options, PM_IO, "empty/d.png: cannot be looked up: No such file");
}

static void test_wrong_options(void **state)
{
    (void)state;
    put_file(test_path("file"), "x", 1);
    open_fails(&(pm_dataset_options){.path = test_path("file")}, PM_IO, "is not a directory");
    open_fails(&(pm_dataset_options){.path = test_path("none")}, PM_IO, "No such file or directory");
    open_fails(&(pm_dataset_options){.path = test_directory, .test_fraction = 1}, PM_BAD_USAGE,
               "test fraction");
    open_fails(&(pm_dataset_options){.path = test_directory, .test_fraction = -0.1}, PM_BAD_USAGE,
               "test fraction");
    open_fails(&(pm_dataset_options){.path = test_directory, .size = 20000}, PM_BAD_USAGE, "too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_that_does_not_fit),
        cmocka_unit_test(test_fashion_mnist),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_folder_split),
        cmocka_unit_test(test_folder_without_classes),
        cmocka_unit_test(test_folder_that_does_not_fit),
        cmocka_unit_test(test_wrong_options),
    };
    return cmocka_run_group_tests_name("data sets", tests, make_test_directory, remove_test_directory);
}
