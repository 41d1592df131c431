/* Earlier results of `pumice bench`: reading them, and what counts as slower. And what its suite measures:
 * the networks have the size that they are said to have, and the yardstick multiplies matrices. */
#include "unit.h"

#include "base/library.h"
#include "bench_baseline.h"
#include "bench_blas.h"
#include "bench_models.h"

#include <stdio.h>
#include <stdlib.h>

static void test_verdicts(void **state)
{
    (void)state;
    const bench_cost old = {2.0, 1.5, 2.5};
    assert_int_equal(bench_compare(old, old), BENCH_SAME);
    assert_int_equal(bench_compare(old, (bench_cost){3.0, 2.6, 4.0}), BENCH_WORSE);
    assert_int_equal(bench_compare(old, (bench_cost){3.0, 2.5, 4.0}), BENCH_SAME); /* they touch */
    assert_int_equal(bench_compare(old, (bench_cost){1.2, 1.0, 1.4}), BENCH_BETTER);
    assert_int_equal(bench_compare(old, (bench_cost){1.2, 1.0, 1.6}), BENCH_SAME);
    assert_int_equal(bench_compare((bench_cost){0}, old), BENCH_UNKNOWN);
    /* bytes have no spread: one more is more */
    assert_int_equal(bench_compare((bench_cost){8, 8, 8}, (bench_cost){9, 9, 9}), BENCH_WORSE);
    assert_string_equal(bench_verdict_word(BENCH_WORSE, false), "SLOWER");
    assert_string_equal(bench_verdict_word(BENCH_WORSE, true), "LARGER");
    assert_string_equal(bench_verdict_word(BENCH_SAME, false), "");
}

/* Opens a file of that text. */
static pm_status open_text(const char *text, json_t **out, pm_error *error)
{
    const char *path = PM_BUILD_DIR "/tests/bench_baseline.json";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    return bench_baseline_open(path, out, error);
}

static void test_reading(void **state)
{
    pm_error error;
    json_t *baseline;
    (void)state;
    expect_ok(open_text("{\"device\": \"d\", \"results\": ["
                        "{\"name\": \"a\", \"seconds\": 2, \"least\": 1.5, \"most\": 2.5, \"samples\": 7},"
                        "{\"name\": \"b\", \"bytes\": 1024},"
                        "{\"name\": \"c\", \"tokens_per_second\": 5},"
                        "{\"name\": \"a\", \"seconds\": 9, \"least\": 9, \"most\": 9}]}",
                        &baseline, &error),
              &error);
    bench_cost a = bench_baseline_find(baseline, "a"), b = bench_baseline_find(baseline, "b");
    assert_true(a.median == 2.0 && a.least == 1.5 && a.most == 2.5);
    assert_true(b.median == 1024.0 && b.least == 1024.0 && b.most == 1024.0);
    assert_true(bench_baseline_find(baseline, "c").median == 0);
    assert_true(bench_baseline_find(baseline, "d").median == 0);
    assert_string_equal(bench_baseline_text(baseline, "device"), "d");
    assert_string_equal(bench_baseline_text(baseline, "driver"), "");
    json_decref(baseline);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"", ""},
        {"{\"results\": [", ""},
        {"[]", "no result of `pumice bench --json`"},
        {"{\"results\": {}}", "no result of `pumice bench --json`"},
        {"{\"results\": [{\"seconds\": 1, \"least\": 1, \"most\": 1}]}", "result 0 has no name"},
        {"{\"results\": [3]}", "result 0 has no name"},
        {"{\"results\": [{\"name\": \"x\", \"seconds\": 1}]}", "\"x\" has no proper measurement"},
        {"{\"results\": [{\"name\": \"x\", \"seconds\": 0, \"least\": 0, \"most\": 0}]}",
         "\"x\" has no proper"},
        {"{\"results\": [{\"name\": \"x\", \"seconds\": 1, \"least\": 2, \"most\": 3}]}",
         "\"x\" has no proper"},
        {"{\"results\": [{\"name\": \"x\", \"seconds\": 4, \"least\": 2, \"most\": 3}]}",
         "\"x\" has no proper"},
        {"{\"results\": [{\"name\": \"x\", \"seconds\": \"1\", \"least\": 1, \"most\": 1}]}", "\"x\" has no"},
        {"{\"results\": [{\"name\": \"x\", \"bytes\": -1}]}", "\"x\" has no proper"},
        {"{\"results\": [{\"name\": \"x\", \"bytes\": null}]}", "\"x\" has no proper"},
    };
    pm_error error;
    json_t *baseline;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        expect_failure(open_text(wrong[i].text, &baseline, &error), PM_BAD_FILE, &error, wrong[i].message);
        expect_failure(error.status, PM_BAD_FILE, &error, "bench_baseline.json: ");
        assert_null(baseline);
    }
    expect_failure(bench_baseline_open("/nonexistent/x.json", &baseline, &error), PM_IO, &error, "x.json");
}

/* Numbers that are trained in the networks of the same sizes elsewhere (PyTorch's modules, Llama's file):
 * counted from their definitions. Ours of the transformers have a few biases more. */
static void test_sizes_of_networks(void **state)
{
    bench_model model;
    pm_error error;
    (void)state;
    expect_ok(bench_unet(&model, &error), &error);
    assert_int_equal(bench_unet_parameters(&model.recipe.unet), 1624577);
    assert_int_equal(model.recipe.training.batch, 32);
    bench_model_free(&model);
    expect_ok(bench_transformer(&model, &error), &error);
    uint32_t count = bench_transformer_parameters(&model.recipe.transformer);
    assert_in_range(count, 4930305 - 4930305 / 200, 4930305 + 4930305 / 200);
    assert_int_equal(model.recipe.training.batch * model.recipe.transformer.context, 16 * 256);
    assert_int_equal(model.recipe.transformer.mask, PM_MASK_NONE);
    bench_model_free(&model);
    pm_transformer_config llama = bench_llama();
    count = bench_transformer_parameters(&llama);
    assert_in_range(count, 6556928 - 6556928 / 200, 6556928 + 6556928 / 200);
    llama.heads = 3;
    assert_int_equal(bench_transformer_parameters(&llama), 0);
}

static void test_library(void **state)
{
    (void)state;
    assert_null(pm_library_open("libno-such-thing.so.0"));
    pm_library_close(NULL);
#ifdef _WIN32
    void *library = pm_library_open("msvcrt.dll");
#else
    void *library = pm_library_open("libm.so.6");
#endif
    if (!library) skip();
    double (*root)(double) = (double (*)(double))pm_library_function(library, "sqrt");
    assert_non_null(root);
    assert_true(root(9.0) == 3.0);
    assert_null(pm_library_function(library, "no_such_function"));
    pm_library_close(library);
}

static void test_yardstick(void **state)
{
    enum { SIZE = 5 };
    float a[SIZE * SIZE], b[SIZE * SIZE], c[SIZE * SIZE];
    double seconds[2];
    bench_blas blas;
    pm_error error;
    (void)state;
    if (!bench_blas_open(&blas)) skip();
    for (int i = 0; i < SIZE * SIZE; i++) {
        a[i] = (float)(i % 7 - 3);
        b[i] = (float)(i * 3 % 11 - 5);
    }
    for (int layout = PM_AB; layout <= PM_ATB; layout++) {
        bench_blas_product(&blas, (pm_layout)layout, SIZE, a, b, c);
        for (int i = 0; i < SIZE * SIZE; i++) {
            int row = i / SIZE, column = i % SIZE;
            float sum = 0;
            for (int k = 0; k < SIZE; k++) {
                float x = a[layout == PM_ATB ? k * SIZE + row : row * SIZE + k];
                sum += x * b[layout == PM_ABT ? column * SIZE + k : k * SIZE + column];
            }
            assert_true(c[i] == sum); /* small whole numbers */
        }
    }
    expect_ok(bench_blas_time(&blas, PM_AB, SIZE, 2, seconds, &error), &error);
    assert_true(seconds[0] > 0 && seconds[1] > 0);
    assert_true(blas.threads >= 1 && blas.config[0] != '\0');
    bench_blas_close(&blas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),  cmocka_unit_test(test_reading),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_sizes_of_networks),
        cmocka_unit_test(test_library),   cmocka_unit_test(test_yardstick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
