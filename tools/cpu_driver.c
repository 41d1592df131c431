/* Settings of Mesa's CPU driver; see cpu_driver.h. */
#include "cpu_driver.h"

#include <stdlib.h>

#define THREADS "LP_NUM_THREADS"

static bool set_if_unset(const char *name, const char *value)
{
#ifdef _WIN32
    (void)name; /* Mesa's CPU driver is not what is found there */
    (void)value;
    return false;
#else
    return !getenv(name) && setenv(name, value, 0) == 0;
#endif
}

void cli_use_wide_vectors(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        (void)set_if_unset("LP_NATIVE_VECTOR_WIDTH", "512");
    }
#endif
}

/* On two cores a token of a model of 0.8 million parameters takes 0.65 ms without threads and 2.1 ms with
 * two, of 6.6 million 3.3 and 7.0: to hand its dispatches, seventy and more, over to them takes 2 to 4 ms. */
bool cli_use_few_threads(uint64_t parameters, uint64_t texts)
{
    const uint64_t most = 8000000;
    return texts > 0 && parameters <= most / texts && set_if_unset(THREADS, "0");
}

void cli_use_many_threads(void)
{
#ifndef _WIN32
    (void)unsetenv(THREADS);
#endif
}
