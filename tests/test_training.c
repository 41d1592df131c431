/* Training and sampling as a whole: a resumed run equals an undisturbed one bit for bit; pictures do not
 * depend on the batch; guidance 1 is the plain conditional model; bad checkpoints are refused and lose
 * nothing. */
/* ctest labels: device */
#include "unit.h"

#include "tiny.h"

#include "files/file_io.h"
#include "pumice_models.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static pm_device *device;
static pm_dataset data;
static pm_recipe recipe;
static char folder[] = "/tmp/pumice-test-XXXXXX";

static int set_up(void **state)
{
    pm_error error = {0};
    (void)state;
    data = tiny_dataset();
    if (!mkdtemp(folder) || tiny_fitted_recipe(&recipe, &error) != PM_OK ||
        pm_device_open(NULL, &device, &error) != PM_OK) {
        fprintf(stderr, "%s\n", error.message);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    char command[64];
    (void)state;
    free(data.pixels);
    free(data.labels);
    pm_device_close(device);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    next = (next + 1) % 4;
    (void)snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static pm_trainer *start(void)
{
    pm_trainer *trainer;
    pm_error error = {0};
    if (pm_trainer_create(device, &recipe, &(pm_training_data){.pictures = &data}, NULL, &trainer, &error) !=
        PM_OK)
        fail_msg("%s", error.message);
    return trainer;
}

static void assert_same_files(const char *a, const char *b)
{
    uint8_t *x, *y;
    size_t n, m;
    pm_error error = {0};
    expect_ok(pm_read_file(a, 1u << 28, &x, &n, &error), &error);
    expect_ok(pm_read_file(b, 1u << 28, &y, &m, &error), &error);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

static void resume_is_bitwise(void **state)
{
    pm_error error = {0};
    pm_trainer *whole = start(), *first = start(), *second = start();
    (void)state;
    expect_ok(pm_trainer_run(whole, 20, &error), &error);
    expect_ok(pm_trainer_save(whole, path_of("whole"), &error), &error);
    expect_ok(pm_trainer_run(first, 9, &error), &error);
    expect_ok(pm_trainer_save(first, path_of("half"), &error), &error);
    expect_ok(pm_trainer_resume(second, path_of("half"), &error), &error);
    assert_int_equal(pm_trainer_step(second), 9);
    expect_ok(pm_trainer_run(second, 11, &error), &error);
    expect_ok(pm_trainer_save(second, path_of("resumed"), &error), &error);
    assert_same_files(path_of("whole"), path_of("resumed"));
    expect_ok(pm_trainer_export(whole, path_of("model"), &error), &error);
    pm_trainer_destroy(whole);
    pm_trainer_destroy(first);
    pm_trainer_destroy(second);
}

static void loss_falls(void **state)
{
    pm_error error = {0};
    pm_trainer *trainer = start();
    float loss, norm, early = 0, late = 0;
    (void)state;
    for (int i = 0; i < 40; i++) {
        expect_ok(pm_trainer_run(trainer, 1, &error), &error);
        expect_ok(pm_trainer_loss(trainer, &loss, &norm, &error), &error);
        assert_true(isfinite(loss) && norm > 0);
        if (i < 8) early += loss / 8;
        if (i >= 32) late += loss / 8;
    }
    assert_true(late < 0.9f * early);
    pm_trainer_destroy(trainer);
}

static void another_network_is_refused(void **state)
{
    pm_error error = {0};
    pm_recipe wider = recipe;
    pm_trainer *trainer;
    (void)state;
    wider.unet.base = 16;
    expect_ok(
        pm_trainer_create(device, &wider, &(pm_training_data){.pictures = &data}, NULL, &trainer, &error),
        &error);
    assert_int_equal(pm_trainer_resume(trainer, path_of("half"), &error), PM_BAD_FILE);
    assert_non_null(strstr(error.message, "half"));
    assert_int_equal(pm_trainer_resume(trainer, path_of("missing"), &error), PM_IO);
    pm_trainer_destroy(trainer);
}

static void unwritable_folder_keeps_the_old_checkpoint(void **state)
{
    pm_error error = {0};
    pm_trainer *trainer = start();
    (void)state;
    assert_int_equal(pm_trainer_save(trainer, path_of("no/such/folder/x"), &error), PM_IO);
    assert_int_equal(pm_trainer_save(trainer, "/dev/full/x", &error), PM_IO);
    pm_trainer_destroy(trainer);
}

static void draw(const pm_sample_options *options, uint8_t *pixels)
{
    pm_error error = {0};
    pm_model *model;
    uint32_t made = 0;
    expect_ok(pm_model_open(path_of("model"), &model, &error), &error);
    expect_ok(pm_model_sample(device, model, options, pixels, &made, &error), &error);
    assert_int_equal(made, options->count);
    pm_model_close(model);
}

enum { PICTURE = TINY_SIDE * TINY_SIDE };

static void pictures_do_not_depend_on_the_batch(void **state)
{
    static const char *const samplers[] = {"ddim", "ddpm"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint8_t a[7 * PICTURE], b[7 * PICTURE];
        pm_sample_options options = pm_sample_defaults();
        options.count = 7;
        options.seed = 5;
        options.sampler = samplers[i];
        options.batch = 7;
        draw(&options, a);
        options.batch = 3;
        draw(&options, b);
        assert_memory_equal(a, b, sizeof a);
        options.first = 2; /* the same pictures by number */
        options.count = 5;
        options.labels = (const uint32_t[]){2, 0, 1, 2, 0};
        draw(&options, b);
        assert_memory_equal(a + 2 * PICTURE, b, 5 * PICTURE);
    }
}

static void guidance_identities(void **state)
{
    uint8_t a[3 * PICTURE], b[3 * PICTURE];
    uint32_t null_labels[3] = {9, 9, 9};
    pm_sample_options options = pm_sample_defaults();
    (void)state;
    options.count = 3;
    options.guidance = 0;
    draw(&options, a); /* unconditional, whatever the labels */
    options.labels = null_labels;
    options.guidance = 1;
    draw(&options, b);
    assert_memory_equal(a, b, sizeof a);
    options.guidance = 4; /* both passes see the null class: guidance has nothing to amplify */
    draw(&options, b);
    assert_memory_equal(a, b, sizeof a);
}

static bool stop_at_three(void *user, uint32_t done, uint32_t total)
{
    (void)user;
    (void)total;
    return done < 3;
}

static void sampling_can_be_stopped(void **state)
{
    pm_error error = {0};
    pm_model *model;
    uint8_t pixels[2 * PICTURE];
    pm_sample_options options = pm_sample_defaults();
    (void)state;
    options.count = 2;
    options.progress = stop_at_three;
    expect_ok(pm_model_open(path_of("model"), &model, &error), &error);
    expect_ok(pm_model_sample(device, model, &options, pixels, NULL, &error), &error);
    options.progress = NULL;
    options.steps = 1000;
    assert_int_equal(pm_model_sample(device, model, &options, pixels, NULL, &error), PM_BAD_USAGE);
    options.steps = 5;
    options.sampler = "dimm";
    assert_int_equal(pm_model_sample(device, model, &options, pixels, NULL, &error), PM_BAD_USAGE);
    pm_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resume_is_bitwise),
        cmocka_unit_test(loss_falls),
        cmocka_unit_test(another_network_is_refused),
        cmocka_unit_test(unwritable_folder_keeps_the_old_checkpoint),
        cmocka_unit_test(pictures_do_not_depend_on_the_batch),
        cmocka_unit_test(guidance_identities),
        cmocka_unit_test(sampling_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
