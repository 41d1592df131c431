/* The exactness run (tools/exactness.h): prints its checksums. With the expected ones as arguments, fails
 * when they differ, and names the first operator that departs.
 *
 * exactness FOLDER [CHECKSUM...]
 * exactness --trace FOLDER    only the first steps, node by node
 * exactness --nodes FOLDER > tools/exactness_sums.inc    what --trace expects from then on: to be written
 * anew after every change of the models' graphs */
#include "exactness.h"

#include "pumice.h"

#include <string.h>

static bool print_sums(const pm_device *device, const uint32_t *sums, char **expected)
{
    const pm_device_facts *facts = pm_device_facts_of(device);
    bool same = true;
    for (int i = 0; i < EXACTNESS_SUMS; i++) {
        char got[16];
        (void)snprintf(got, sizeof got, "%08x", sums[i]);
        printf("%s ", got);
        if (expected && strcmp(expected[i], got) != 0) same = false;
    }
    printf("(%s, %s)\n", facts->name, facts->driver_info);
    for (int i = 0; !same && i < EXACTNESS_SUMS; i++)
        fprintf(stderr, "%s %s", i ? "" : "expected", expected[i]);
    if (!same) fputc('\n', stderr);
    return same;
}

static pm_status trace(pm_device *device, const char *folder, bool departs, pm_error *error)
{
    char first[600];
    pm_status status = exactness_trace(device, folder, first, sizeof first, error);
    if (status != PM_OK || (!first[0] && !departs)) return status;
    (void)snprintf(error->message, sizeof error->message, "%s%.400s",
                   first[0] ? "first departs at " : "other bits, but none in the first steps node by node",
                   first);
    return PM_FAILED;
}

static pm_status check(pm_device *device, const char *folder, char **expected, pm_error *error)
{
    uint32_t sums[EXACTNESS_SUMS] = {0};
    pm_status status = exactness_run(device, folder, sums, error);
    if (status != PM_OK || print_sums(device, sums, expected)) return status;
    return trace(device, folder, true, error);
}

int main(int argc, char **argv)
{
    pm_error error = {0};
    pm_device *device = NULL;
    bool nodes = argc == 3 && strcmp(argv[1], "--nodes") == 0;
    bool traced = argc == 3 && strcmp(argv[1], "--trace") == 0;
    if (!nodes && !traced && argc != 2 && argc != 2 + EXACTNESS_SUMS)
        return fprintf(stderr, "usage: exactness FOLDER [%d CHECKSUMS]\n", EXACTNESS_SUMS), PM_BAD_USAGE;
    pm_status status = pm_device_open(NULL, &device, &error);
    if (status == PM_OK && nodes) status = exactness_write_sums(device, argv[2], stdout, &error);
    if (status == PM_OK && traced) status = trace(device, argv[2], false, &error);
    if (status == PM_OK && !nodes && !traced)
        status = check(device, argv[1], argc > 2 ? argv + 2 : NULL, &error);
    if (status != PM_OK) fprintf(stderr, "%s\n", error.message);
    pm_device_close(device);
    return (int)status;
}
