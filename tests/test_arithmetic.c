/* The probe of a device's arithmetic: drivers that are known to round are said to, and a defect put into the
 * shader is seen. */
/* ctest labels: device */
#include "device_helpers.h"

#include "broken_shader.h"
#include "plan/arithmetic.h"

#include <string.h>

static void this_driver_rounds(void **state)
{
    pm_arithmetic m;
    pm_error error = {0};
    (void)state;
    if (pm_arithmetic_measure(device, &m, &error) != PM_OK) fail_msg("%s", error.message);
    for (uint32_t i = 0; i < PM_ARITHMETIC_RESULTS; i++) {
        const pm_arithmetic_result *r = &m.result[i];
        if (r->tried < 200) fail_msg("%s: tried only %u times", pm_arithmetic_name(i), r->tried);
        if (i >= PM_ARITHMETIC_NEEDED || !r->wrong) continue;
        fail_msg("%s: %u wrong of %u: %08x %08x %08x -> %08x, not %08x", pm_arithmetic_name(i), r->wrong,
                 r->tried, r->operand[0], r->operand[1], r->operand[2], r->got, r->wanted);
    }
    assert_true(m.rounds);
    assert_true(m.fma_twice.tried > 200);
    assert_true(m.add_operand.tried > 20 && m.add_result.tried > 20);
    assert_true(m.multiply_operand.tried > 20 && m.multiply_result.tried > 20);
    assert_true(m.nan_ignored.tried > 20);
    /* All or nothing: a driver that did both would be worth knowing. */
    assert_true(m.fma_twice.yes == 0 || m.fma_twice.yes == m.fma_twice.tried);
}

static void find_warning(void *user, const char *text)
{
    if (strstr(text, "does not hold")) *(int *)user |= 1;
    if (strstr(text, "wrong") && text[0] == '*') *(int *)user |= 2;
}

/* A device that fuses the multiply and the add: the mark that forbids it is taken out, and the add becomes
 * the fma that such a driver would make of it. Here simply: a multiply that adds. */
static void a_wrong_multiply_is_seen(void **state)
{
    pm_arithmetic m;
    pm_error error = {0};
    int said = 0;
    (void)state;
    pm_device *broken = broken_device("probe_arithmetic", BROKEN_F_MUL, BROKEN_F_ADD);
    assert_int_equal(pm_arithmetic_measure(broken, &m, &error), PM_OK);
    assert_false(m.rounds);
    assert_true(m.result[PM_ARITHMETIC_MULTIPLY].wrong > 100);
    assert_int_equal(m.result[PM_ARITHMETIC_SUBTRACT].wrong, 0);
    pm_arithmetic_describe(&m, find_warning, &said);
    assert_int_equal(said, 3);
    pm_device_close(broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_driver_rounds),
        cmocka_unit_test(a_wrong_multiply_is_seen),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
