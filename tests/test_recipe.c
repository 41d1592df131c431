/* Recipes: the built-in ones, every way in which a recipe can be wrong, changing values, writing and reading
 * again. */
#include "file_helpers.h"

#include "recipes/recipe.h"
#include "recipes/recipe_fields.h"

#define MINIMAL \
    "\"name\": \"n\", \"kind\": \"image-diffusion\", \"unet\": {\"base\": 16, \"multipliers\": [1, 2]}"
#define TRAINING "\"training\": {\"batch\": 8, \"steps\": 10, \"learning_rate\": 0.1}"

static pm_recipe load(const char *name)
{
    pm_error error;
    pm_recipe recipe;
    expect_ok(pm_recipe_load(name, &recipe, &error), &error);
    return recipe;
}

static void expect_same(const pm_recipe *a, const pm_recipe *b)
{
    char *text_a = pm_recipe_json(a), *text_b = pm_recipe_json(b);
    assert_non_null(text_a);
    assert_non_null(text_b);
    assert_string_equal(text_a, text_b);
    free(text_a);
    free(text_b);
    assert_memory_equal(a, b, sizeof *a);
}

/* Reading what is written gives the same recipe. */
static void expect_round_trip(const pm_recipe *recipe)
{
    pm_error error;
    pm_recipe again;
    char *text = pm_recipe_json(recipe);
    assert_non_null(text);
    expect_ok(pm_recipe_parse(text, "again", &again, &error), &error);
    free(text);
    expect_same(recipe, &again);
}

/* ---- The built-in recipes ------------------------------------------------------------------------------ */

static void test_built_in(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *const *name = pm_recipe_names(); *name; name++, count++) {
        pm_error error;
        char path[300];
        pm_recipe by_name = load(*name), by_path;
        assert_string_equal(by_name.name, *name);
        assert_true(by_name.description[0] != 0);
        (void)snprintf(path, sizeof path, PM_SOURCE_DIR "/models/recipes/%s.json", *name);
        expect_ok(pm_recipe_load(path, &by_path, &error), &error);
        expect_same(&by_name, &by_path);
        expect_round_trip(&by_name);
        expect_ok(pm_kind_is_text(by_name.kind) ? pm_recipe_fit_text(&by_name, 63, &error)
                                                : pm_recipe_fit(&by_name, 28, 28, 1, 10, NULL, &error),
                  &error);
        expect_round_trip(&by_name);
    }
    assert_true(count >= 4);
}

static void test_values(void **state)
{
    (void)state;
    pm_recipe r = load("fashion-small");
    assert_int_equal(r.kind, PM_KIND_IMAGE_DIFFUSION);
    assert_int_equal(r.unet.base, 32);
    assert_int_equal(r.unet.levels, 3);
    assert_int_equal(r.unet.multipliers[0], 1);
    assert_int_equal(r.unet.multipliers[2], 2);
    assert_int_equal(r.unet.n_attention, 1);
    assert_int_equal(r.unet.attention[0], 7);
    assert_int_equal(r.unet.timesteps, 1000);
    assert_int_equal(r.process.schedule, PM_SCHEDULE_COSINE);
    assert_int_equal(r.process.target, PM_TARGET_V);
    assert_int_equal(r.training.decay, PM_DECAY_COSINE);
    assert_true(r.training.learning_rate == 1e-3f);
    assert_true(r.training.beta2 == 0.999f); /* left out: the default */
    assert_string_equal(r.sampling.sampler, "ddim");
    assert_true(r.sampling.guidance == 2.0f);
    pm_recipe c = load("fashion-classifier");
    assert_int_equal(c.kind, PM_KIND_IMAGE_CLASSIFIER);
    assert_int_equal(c.classifier.features, 64);
    assert_int_equal(c.unet.base, 0);
}

static void test_names(void **state)
{
    (void)state;
    pm_error error;
    pm_recipe r;
    expect_failure(pm_recipe_load("fashion-smal", &r, &error), PM_BAD_USAGE, &error,
                   "did you mean fashion-small?");
    expect_failure(pm_recipe_load("fashion-smal", &r, &error), PM_BAD_USAGE, &error, "fashion-tiny");
    expect_failure(pm_recipe_load("", &r, &error), PM_BAD_USAGE, &error, "no such recipe");
    expect_failure(pm_recipe_load("./none", &r, &error), PM_IO, &error, "none");
    expect_failure(pm_recipe_load("none.json", &r, &error), PM_IO, &error, "none.json");
    static const char zero[] = "{}\0{}";
    put_file(test_path("zero.json"), zero, sizeof zero - 1);
    expect_failure(pm_recipe_load(test_path("zero.json"), &r, &error), PM_BAD_FILE, &error, "zero.json");
}

/* ---- What is wrong in a file --------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "f.json: "},
        {"[]", "must be a JSON object"},
        {"{}", "key kind is missing"},
        {"{\"kind\": \"image\"}",
         "kind must be image-diffusion, image-classifier, text-autoregressive or text-masked, not \"image\""},
        {"{\"kind\": \"text-masked\", \"unet\": {\"base\": 8}}",
         "unet.base is not for models of kind text-masked"},
        {"{\"kind\": \"text-masked\", \"name\": \"a\", \"transformer\": {\"context\": 8, \"width\": 10, "
         "\"layers\": 1, \"heads\": 3}, " TRAINING "}",
         "transformer.width 10 is no multiple of transformer.heads 3"},
        {"{\"kind\": \"text-masked\", \"transformer\": {\"norm\": \"batch\"}}", "must be layer or rms"},
        {"{" MINIMAL "}", "key training.batch is missing"},
        {"{\"kind\": \"image-diffusion\", " TRAINING "}", "key name is missing"},
        {"{" MINIMAL ", " TRAINING ", \"nam\": 1}", "f.json: unknown key nam; did you mean name?"},
        {"{" MINIMAL ", " TRAINING ", \"trainin\": {}}", "unknown key trainin; did you mean training?"},
        {"{" MINIMAL ", " TRAINING ", \"guidance\": 2}",
         "unknown key guidance; did you mean sampling.guidance?"},
        {"{" MINIMAL ", \"training\": {\"bacth\": 8}}",
         "unknown key training.bacth; did you mean training.batch?"},
        {"{" MINIMAL ", \"training\": {\"dropout\": 8}}", "did you mean unet.dropout?"},
        {"{" MINIMAL ", \"training.batch\": 8}", "has a dot in it"},
        {"{" MINIMAL ", \"training\": 5}", "training must be an object, not 5"},
        {"{" MINIMAL ", \"classifier\": {\"base\": 8}}",
         "classifier.base is not for models of kind image-diffusion"},
        {"{" MINIMAL ", \"training\": {\"batch\": 8, \"batch\": 9}}", "uplicate"},
        {"{" MINIMAL ", \"training\": {\"batch\": 0}}",
         "training.batch must be a whole number from 1 to 4096, not 0"},
        {"{" MINIMAL ", \"training\": {\"batch\": 4097}}", "not 4097"},
        {"{" MINIMAL ", \"training\": {\"batch\": -1}}", "not -1"},
        {"{" MINIMAL ", \"training\": {\"batch\": 8.0}}", "training.batch must be a whole number"},
        {"{" MINIMAL ", \"training\": {\"batch\": \"8\"}}", "not \"8\""},
        {"{" MINIMAL ", \"training\": {\"batch\": null}}", "not null"},
        {"{" MINIMAL ", \"training\": {\"batch\": 4294967304}}", "not 4294967304"},
        {"{" MINIMAL ", \"training\": {\"ema\": 1}}",
         "training.ema must be a number from 0 to 0.999999, not 1"},
        {"{" MINIMAL ", \"training\": {\"ema\": 1e999}}", "f.json: "},
        {"{" MINIMAL ", \"training\": {\"ema_warmup\": 1}}",
         "training.ema_warmup must be true or false, not 1"},
        {"{" MINIMAL ", \"training\": {\"decay\": \"none\"}}", "must be constant, cosine or linear"},
        {"{" MINIMAL ", \"training\": {\"seed\": -1}}", "training.seed"},
        {"{" MINIMAL ", \"training\": {\"seed\": \"18446744073709551616\"}}", "training.seed"},
        {"{" MINIMAL ", \"training\": {\"seed\": \"1x\"}}", "training.seed"},
        {"{" MINIMAL ", \"sampling\": {\"sampler\": \"plms\"}}",
         "must be ddim, ddpm or ddpm-large, not \"plms\""},
        {"{" MINIMAL ", \"sampling\": {\"steps\": 1001}, " TRAINING "}",
         "sampling.steps is 1001, more than the 1000"},
        {"{\"kind\": \"image-diffusion\", \"unet\": {\"multipliers\": []}}", "at least one"},
        {"{\"kind\": \"image-diffusion\", \"unet\": {\"multipliers\": [1,1,1,1,1,1,1]}}", "at most 6"},
        {"{\"kind\": \"image-diffusion\", \"unet\": {\"multipliers\": [1, 0]}}", "unet.multipliers"},
        {"{\"kind\": \"image-diffusion\", \"unet\": {\"multipliers\": [[1]]}}", "unet.multipliers"},
        {"{\"kind\": \"image-diffusion\", \"unet\": {\"multipliers\": 1}}", "unet.multipliers"},
        {"{\"kind\": \"image-diffusion\", \"name\": \"a\\nb\"}", "name must be text"},
        {"{\"kind\": \"image-diffusion\", \"name\": \"a\\u009bb\"}", "name must be text"},
        {"{\"kind\": \"image-diffusion\", \"name\": {}}", "not {}"},
        {"{\"kind\": \"image-diffusion\", \"name\": "
         "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
         "at most 63 bytes"},
        {"{" MINIMAL ", \"data\": {\"class_names\": [\"\"]}}", "data.class_names"},
        {"{" MINIMAL ", \"data\": {\"class_names\": [\"01234567890123456789012345678901\"]}}",
         "1 to 31 bytes"},
        {"{" MINIMAL ", " TRAINING ", \"data\": {\"classes\": 2, \"class_names\": [\"a\"]}}", "has 1 names"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_error error;
        pm_recipe r;
        expect_failure(pm_recipe_parse(cases[i].json, "f.json", &r, &error), PM_BAD_FILE, &error,
                       cases[i].says);
    }
    pm_error error;
    pm_recipe r;
    expect_ok(pm_recipe_parse("{" MINIMAL ", " TRAINING "}", "f.json", &r, &error), &error);
}

static void test_damage(void **state)
{
    (void)state;
    uint64_t random = 1;
    uint32_t accepted = 0;
    pm_recipe r = load("fashion"), damaged;
    char *text = pm_recipe_json(&r);
    assert_non_null(text);
    for (int round = 0; round < 3000; round++) {
        size_t size;
        uint8_t *bytes = damaged_copy((const uint8_t *)text, strlen(text), &random, &size);
        char *copy = calloc(1, size + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, size);
        pm_error error;
        pm_status status = pm_recipe_parse(copy, "damaged", &damaged, &error);
        if (status == PM_OK) {
            accepted++;
            expect_round_trip(&damaged);
        } else {
            expect_failure(status, PM_BAD_FILE, &error, "damaged: ");
        }
        free(copy);
        free(bytes);
    }
    free(text);
    assert_in_range(accepted, 1,
                    1500); /* a digit or a letter of a text may change without harm, little else */
}

/* ---- Setting values ------------------------------------------------------------------------------------ */

static void set(pm_recipe *recipe, const char *assignment)
{
    pm_error error;
    expect_ok(pm_recipe_set(recipe, assignment, &error), &error);
    expect_round_trip(recipe);
}

static void test_set(void **state)
{
    (void)state;
    pm_recipe r = load("fashion-tiny");
    set(&r, "training.batch=48");
    assert_int_equal(r.training.batch, 48);
    set(&r, "training.learning_rate=3e-4");
    assert_true(r.training.learning_rate == 3e-4f);
    set(&r, "training.clip_norm=2");
    assert_true(r.training.clip_norm == 2.0f);
    set(&r, "training.decay=linear");
    assert_int_equal(r.training.decay, PM_DECAY_LINEAR);
    set(&r, "data.mirror=true");
    assert_true(r.data.mirror);
    set(&r, "unet.multipliers=[1, 2, 4, 4]");
    assert_int_equal(r.unet.levels, 4);
    assert_int_equal(r.unet.multipliers[3], 4);
    set(&r, "unet.multipliers=1,3");
    assert_int_equal(r.unet.levels, 2);
    assert_int_equal(r.unet.multipliers[1], 3);
    assert_int_equal(r.unet.multipliers[2], 0);
    set(&r, "unet.attention=7");
    assert_int_equal(r.unet.n_attention, 1);
    set(&r, "unet.attention=");
    assert_int_equal(r.unet.n_attention, 0);
    set(&r, "data.source=/home/me/my pictures=\"new\"");
    assert_string_equal(r.data.source, "/home/me/my pictures=\"new\"");
    set(&r, "data.source=\"quoted\"");
    assert_string_equal(r.data.source, "quoted");
    set(&r, "data.source=2024");
    assert_string_equal(r.data.source, "2024");
    set(&r, "training.seed=9223372036854775807");
    assert_true(r.training.seed == INT64_MAX);
    set(&r, "training.seed=18446744073709551615");
    assert_true(r.training.seed == UINT64_MAX);
    set(&r, "process.timesteps=400");
    assert_int_equal(r.unet.timesteps, 400);
    set(&r, "sampling.sampler=ddpm");
    set(&r, "sampling.sampler=ddim");
    assert_string_equal(r.sampling.sampler, "ddim");
}

static void test_set_refused(void **state)
{
    (void)state;
    static const struct {
        const char *assignment, *says;
    } cases[] = {
        {"training.batch", "no assignment"},
        {"", "no assignment"},
        {"training.bach=1", "unknown key training.bach; did you mean training.batch?"},
        {"batch=1", "did you mean training.batch?"},
        {"training=1", "unknown key training"},
        {"kind=image-classifier", "kind cannot be changed"},
        {"classifier.base=8", "is not for models of kind image-diffusion"},
        {"training.batch=0", "from 1 to 4096, not 0"},
        {"training.batch=", "not \"\""},
        {"training.batch=1,2", "not \"1,2\""},
        {"training.batch=[1]", "not [1]"},
        {"training.batch=8]", "not \"8]\""},
        {"training.ema=nan", "training.ema must be"},
        {"unet.multipliers=", "at least one"},
        {"unet.multipliers=1,x", "unet.multipliers"},
        {"name=\x1b[2J", "name must be text"},
        {"name=\xff", "not UTF-8"},
    };
    const pm_recipe before = load("fashion-tiny");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_error error;
        pm_recipe r = before;
        expect_failure(pm_recipe_set(&r, cases[i].assignment, &error), PM_BAD_USAGE, &error, cases[i].says);
        expect_same(&r, &before);
    }
}

static void test_floats_survive(void **state)
{
    (void)state;
    uint64_t random = 7;
    pm_recipe r = load("fashion-tiny");
    for (int i = 0; i < 2000; i++) {
        r.training.learning_rate = (float)(next_random(&random) % 16777216 + 1) / 16777216.0f;
        r.training.clip_norm = (float)(next_random(&random) % 1000000000) * 1e-3f;
        expect_round_trip(&r);
    }
    r.training.learning_rate = 0.1f;
    char *text = pm_recipe_json(&r);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"learning_rate\": 0.1,"));
    free(text);
}

/* ---- Fitting to data ----------------------------------------------------------------------------------- */

static void test_fit(void **state)
{
    (void)state;
    static const char *const names[] = {"T-shirt", "0123456789012345678901234567890\xc3\xa9", "a\nb"};
    pm_error error;
    pm_recipe r = load("fashion-tiny");
    expect_ok(pm_recipe_fit(&r, 28, 32, 3, 3, names, &error), &error);
    assert_int_equal(r.unet.height, 28);
    assert_int_equal(r.unet.width, 32);
    assert_int_equal(r.unet.channels, 3);
    assert_int_equal(r.unet.classes, 3);
    assert_int_equal(r.data.classes, 3);
    assert_string_equal(r.data.class_names[0], "T-shirt");
    assert_string_equal(r.data.class_names[1], "0123456789012345678901234567890");
    assert_string_equal(r.data.class_names[2], "class 2");
    expect_round_trip(&r);
    const pm_recipe before = r;
    expect_ok(pm_recipe_fit(&r, 28, 32, 3, 3, names, &error), &error);
    expect_same(&r, &before);
    expect_failure(pm_recipe_fit(&r, 32, 32, 3, 3, names, &error), PM_BAD_FILE, &error,
                   "data.height of the data is 32");
    expect_failure(pm_recipe_fit(&r, 28, 32, 1, 3, names, &error), PM_BAD_FILE, &error, "data.channels");
    expect_failure(pm_recipe_fit(&r, 28, 32, 3, 4, NULL, &error), PM_BAD_FILE, &error, "data.classes");
    expect_failure(pm_recipe_fit(&r, 28, 32, 3, 1, NULL, &error), PM_BAD_FILE, &error, "no classes");
    expect_same(&r, &before);
}

static void test_fit_limits(void **state)
{
    (void)state;
    pm_error error;
    pm_recipe r = load("fashion-tiny"), c = load("fashion-classifier");
    expect_failure(pm_recipe_fit(&r, 0, 28, 1, 10, NULL, &error), PM_BAD_FILE, &error, "from 1 to 1024");
    expect_failure(pm_recipe_fit(&r, 28, 1025, 1, 10, NULL, &error), PM_BAD_FILE, &error, "from 1 to 1024");
    expect_failure(pm_recipe_fit(&r, 28, 28, 1, 65, NULL, &error), PM_BAD_FILE, &error, "from 1 to 64");
    expect_ok(pm_recipe_fit(&r, 28, 28, 1, 1, NULL, &error), &error);
    assert_int_equal(r.unet.classes, 0);
    expect_failure(pm_recipe_fit(&c, 28, 28, 1, 1, NULL, &error), PM_BAD_FILE, &error, "two classes");
    expect_ok(pm_recipe_fit(&c, 28, 28, 1, 10, NULL, &error), &error);
    assert_int_equal(c.classifier.classes, 10);
    assert_int_equal(c.classifier.width, 28);
    expect_ok(pm_recipe_set(&r, "process.timesteps=30", &error), &error);
    expect_failure(pm_recipe_fit(&r, 28, 28, 1, 1, NULL, &error), PM_BAD_USAGE, &error,
                   "sampling.steps is 50");
}

/* ---- The table of keys --------------------------------------------------------------------------------- */

static void count_line(void *user, const char *text)
{
    assert_null(strchr(text, '\n'));
    const pm_recipe_field *field = &pm_recipe_fields[(*(size_t *)user)++];
    assert_ptr_equal(strstr(text, field->path), text);
    assert_non_null(strstr(text, field->help));
    assert_true(strlen(text) < 390); /* nothing was cut */
}

static void test_describe(void **state)
{
    (void)state;
    size_t lines = 0;
    pm_recipe_describe(count_line, &lines);
    assert_int_equal(lines, pm_recipe_field_count);
}

static void test_edit_distance(void **state)
{
    (void)state;
    assert_int_equal(pm_edit_distance("", ""), 0);
    assert_int_equal(pm_edit_distance("", "abc"), 3);
    assert_int_equal(pm_edit_distance("abc", ""), 3);
    assert_int_equal(pm_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(pm_edit_distance("sunday", "saturday"), 3);
    assert_int_equal(pm_edit_distance("batch", "batch"), 0);
    char longer[200];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(pm_edit_distance(longer, ""), 63);
    assert_int_equal(pm_edit_distance("", longer), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_set),
        cmocka_unit_test(test_set_refused), cmocka_unit_test(test_floats_survive),
        cmocka_unit_test(test_fit),         cmocka_unit_test(test_fit_limits),
        cmocka_unit_test(test_describe),    cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, make_test_directory, remove_test_directory);
}
