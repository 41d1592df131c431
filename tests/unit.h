/* cmocka with what it wants included before it, and how tests ask whether a function succeeded. */
#ifndef PM_TESTS_UNIT_H
#define PM_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "pumice.h"

/* Fails the test unless `status` is `wanted` and the message is one line that contains `part`. */
static inline void expect_failure(pm_status status, pm_status wanted, const pm_error *error, const char *part)
{
    if (status != wanted || !strstr(error->message, part)) {
        fail_msg("wanted status %d and '...%s...', got status %d and '%s'", (int)wanted, part, (int)status,
                 status == PM_OK ? "" : error->message);
    }
    assert_int_equal(error->status, wanted);
    assert_null(strchr(error->message, '\n'));
}

/* Fails the test unless it is PM_OK; shows the message otherwise. */
static inline void expect_ok(pm_status status, const pm_error *error)
{
    if (status != PM_OK) fail_msg("status %d: %s", (int)status, error->message);
}

#endif
