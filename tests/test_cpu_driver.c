/* What the command asks Mesa's CPU driver for: wide vectors of new versions alone, and caches of each width
 * apart. ctest labels: posix */
#include "cpu_driver.h"
#include "unit.h"

#include "file_helpers.h"

#include <stdio.h>
#include <stdlib.h>

#define WIDTH "LP_NATIVE_VECTOR_WIDTH"
#define CACHE "MESA_SHADER_CACHE_DIR"

static int begin(void **state)
{
    (void)state;
    return unsetenv(WIDTH) | unsetenv(CACHE) | unsetenv("VK_DRIVER_FILES") | unsetenv("VK_ICD_FILENAMES") |
           setenv("XDG_CACHE_HOME", test_path("cache"), 1);
}

/* A manifest of that name, which the loader is told of. */
static void use_manifest(const char *name, const char *text)
{
    const char *path = test_path(name);
    put_file(path, text, strlen(text));
    assert_int_equal(setenv("VK_DRIVER_FILES", path, 1), 0);
}

static void expect_width(const char *wanted)
{
    char folder[500];
    cli_use_fast_vectors();
    if (!wanted) {
        assert_null(getenv(WIDTH));
        assert_null(getenv(CACHE)); /* the driver's own */
        return;
    }
    assert_non_null(getenv(WIDTH));
    assert_string_equal(getenv(WIDTH), wanted);
    (void)snprintf(folder, sizeof folder, "%s/pumice/vectors-%s", getenv("XDG_CACHE_HOME"), wanted);
    assert_non_null(getenv(CACHE));
    assert_string_equal(getenv(CACHE), folder);
}

static void an_old_driver_is_left_as_it_is(void **state)
{
    (void)state;
    use_manifest("lvp_icd.old.json", "{\"ICD\": {\"api_version\": \"1.1.230\"}}");
    expect_width(NULL);
}

static void a_new_driver_has_wide_vectors(void **state)
{
    (void)state;
    use_manifest("lvp_icd.new.json", "{\"ICD\": {\"api_version\": \"1.4.305\"}}");
    expect_width(cli_has_wide_vectors() ? "512" : NULL);
}

static void one_of_several_is_enough(void **state)
{
    char list[1000];
    (void)state;
    use_manifest("lvp_icd.new.json", "{\"ICD\": {\"api_version\": \"1.4.305\"}}");
    (void)snprintf(list, sizeof list, "/nowhere.json:%s:", getenv("VK_DRIVER_FILES"));
    assert_int_equal(unsetenv("VK_DRIVER_FILES") | setenv("VK_ICD_FILENAMES", list, 1), 0);
    expect_width(cli_has_wide_vectors() ? "512" : NULL);
}

static void other_drivers_do_not_count(void **state)
{
    (void)state;
    use_manifest("radeon_icd.json", "{\"ICD\": {\"api_version\": \"1.4.305\"}}");
    expect_width(NULL);
}

static void broken_manifests_do_not_count(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{\"ICD\": 4}",
                                        "{\"ICD\": {\"api_version\": 1.4}}",
                                        "{\"ICD\": {\"api_version\": \"1\"}}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        use_manifest("lvp_icd.json", texts[i]);
        expect_width(NULL);
    }
}

static void what_the_user_asks_for_stays(void **state)
{
    (void)state;
    use_manifest("lvp_icd.new.json", "{\"ICD\": {\"api_version\": \"1.4.305\"}}");
    assert_int_equal(setenv(WIDTH, "256", 1), 0);
    expect_width("256");
    assert_int_equal(setenv(CACHE, "/somewhere", 1), 0);
    cli_use_fast_vectors();
    assert_string_equal(getenv(CACHE), "/somewhere");
}

static void nonsense_names_no_folder(void **state)
{
    (void)state;
    assert_int_equal(setenv(WIDTH, "../256", 1), 0);
    cli_use_fast_vectors();
    assert_null(getenv(CACHE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_old_driver_is_left_as_it_is, begin),
        cmocka_unit_test_setup(a_new_driver_has_wide_vectors, begin),
        cmocka_unit_test_setup(one_of_several_is_enough, begin),
        cmocka_unit_test_setup(other_drivers_do_not_count, begin),
        cmocka_unit_test_setup(broken_manifests_do_not_count, begin),
        cmocka_unit_test_setup(what_the_user_asks_for_stays, begin),
        cmocka_unit_test_setup(nonsense_names_no_folder, begin),
    };
    return cmocka_run_group_tests(tests, make_test_directory, remove_test_directory);
}
