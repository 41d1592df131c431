/* An operator broken on purpose, below the runtime, is caught and named by everything that looks for such:
 * `check`, the exactness run, and the report of the first departure. */
/* ctest labels: device */
#include "broken_shader.h"

#include "check_ops.h"
#include "exactness.h"

#include <stdio.h>

static const char *const folder = PM_BUILD_DIR "/tests";

typedef struct defect {
    const char *shader;
    uint32_t from, to;
    const char *checked; /* the operator whose cases are run */
    const char *op;      /* the node's operator that must be named */
} defect;

/* Of each kind of work: arithmetic inside an operator, a sum, the optimiser, a step of sampling. */
static const defect defects[] = {
    {"unary", BROKEN_F_ADD, BROKEN_F_SUB, "unary", "unary"},
    {"softmax", BROKEN_F_SUB, BROKEN_F_ADD, "softmax", "softmax"},
    {"adamw", BROKEN_F_SUB, BROKEN_F_ADD, "adamw", "adamw"},
    {"denoise_step", BROKEN_F_ADD, BROKEN_F_SUB, "denoise_step", "denoise_step"},
    {"rope", BROKEN_F_MUL, BROKEN_F_ADD, "rope", "rope"},
};
enum { DEFECTS = sizeof defects / sizeof defects[0] };

static void check_names_it(void **state)
{
    (void)state;
    for (int d = 0; d < DEFECTS; d++) {
        pm_error error = {0};
        check_tally sum;
        check_options options = {.op = defects[d].checked, .precision = {true, false}, .quick = true};
        char wanted[100];
        pm_device *device = broken_device(defects[d].shader, defects[d].from, defects[d].to);
        assert_int_equal(check_operators(device, &options, &sum, NULL, NULL, &error), PM_OK);
        if (!broken.replaced || !sum.wrong) fail_msg("%s: %u replaced", defects[d].shader, broken.replaced);
        (void)snprintf(wanted, sizeof wanted, "%s", defects[d].op);
        if (!strstr(sum.first, wanted)) fail_msg("%s: %s", wanted, sum.first);
        pm_device_close(device);
        /* And nothing of the kind is said of the device as it is. */
        assert_int_equal(pm_device_open(NULL, &device, &error), PM_OK);
        assert_int_equal(check_operators(device, &options, &sum, NULL, NULL, &error), PM_OK);
        if (sum.wrong || !sum.cases) fail_msg("%s", sum.first);
        pm_device_close(device);
    }
}

static void the_first_departure_names_it(void **state)
{
    char first[600], wanted[100];
    (void)state;
    for (int d = 0; d < DEFECTS; d++) {
        pm_error error = {0};
        if (strcmp(defects[d].shader, "softmax") == 0) continue; /* no model has one outside of attention */
        pm_device *device = broken_device(defects[d].shader, defects[d].from, defects[d].to);
        if (exactness_trace(device, folder, first, sizeof first, &error) != PM_OK)
            fail_msg("%s", error.message);
        assert_true(broken.replaced > 0);
        (void)snprintf(wanted, sizeof wanted, ", %s", defects[d].op);
        if (!strstr(first, wanted) || !strstr(first, "node ")) fail_msg("%s: \"%s\"", wanted, first);
        pm_device_close(device);
    }
}

/* The last bit of one constant: far below what `check` may allow, and no more than what another driver's
 * exp() would do. */
static void one_bit_is_seen(void **state)
{
    char first[600];
    uint32_t sums[EXACTNESS_SUMS];
    pm_error error = {0};
    union {
        float value;
        uint32_t bits;
    } unit = {5.96046448e-08f}; /* 2^-24, of uniform random numbers */
    (void)state;
    pm_device *device = broken_device("random", 0, unit.bits);
    assert_int_equal(exactness_trace(device, folder, first, sizeof first, &error), PM_OK);
    assert_true(broken.replaced > 0);
    if (!strstr(first, ", random")) fail_msg("\"%s\"", first);
    assert_int_equal(exactness_run(device, folder, sums, &error), PM_OK);
    pm_device_close(device);
    uint32_t right[] = {PM_EXACT_SUMS};
    assert_int_not_equal(sums[0], right[0]);
    exactness_clean(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_names_it),
        cmocka_unit_test(the_first_departure_names_it),
        cmocka_unit_test(one_bit_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
