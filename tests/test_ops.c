/* Every case of every operator: the device against the reference, forward and backward; the reference's
 * gradients against central differences; the adjoint identity. `test_ops [--no-gradient] [--precision f32]
 * [--without NAME] [NAME]`; a name runs the operators whose name begins so, or those whose name does not. */
/* ctest labels: device */
#include "ops/table.h"
#include "plan/verify.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    pm_device *device = NULL;
    pm_error error = {0};
    unsigned passed = 0, failed = 0;
    const char *name = "", *without = NULL;
    pm_precision precision = PM_EXACT;
    bool gradient = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-gradient") == 0) {
            gradient = false;
        } else if (strcmp(argv[i], "--precision") == 0 && i + 1 < argc) {
            precision = strcmp(argv[++i], "f32") == 0 ? PM_F32 : PM_EXACT;
        } else if (strcmp(argv[i], "--without") == 0 && i + 1 < argc) {
            without = argv[++i];
        } else {
            name = argv[i];
        }
    }
    if (pm_device_open(NULL, &device, &error) != PM_OK) {
        fprintf(stderr, "%s\n", error.message);
        return (int)error.status;
    }
    printf("%s\n", pm_device_choice(device));
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        if (strncmp((*op)->name, name, strlen(name)) != 0) continue;
        if (without && strncmp((*op)->name, without, strlen(without)) == 0) continue;
        for (uint32_t c = 0; c < (*op)->n_cases; c++) {
            const pm_case *test = &(*op)->cases[c];
            if (test->bench || test->large) continue;
            pm_verify_result result;
            pm_status status = pm_verify_case(device, *op, test, precision, gradient, &result, &error);
            bool ok = status == PM_OK && result.ok;
            printf("%-4s %-20s %-40s error %.1e gradient %.1e adjoint %.1e\n", ok ? "ok" : "FAIL",
                   (*op)->name, test->name, result.error, result.gradient_error, result.adjoint_error);
            if (!ok) printf("     %s\n", status == PM_OK ? result.message : error.message);
            (void)fflush(stdout);
            ok ? passed++ : failed++;
            if (status == PM_DEVICE_LOST) return (int)status;
        }
    }
    pm_device_close(device);
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed ? 1 : 0;
}
