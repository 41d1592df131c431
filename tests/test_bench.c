/* Earlier results of `pumice bench`: reading them, and what counts as slower. */
#include "unit.h"

#include "bench_baseline.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
