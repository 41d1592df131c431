/* `pumice check`: every operator, forward and backward, on this device against plain C. */
#include "check_compile.h"
#include "cli.h"
#include "commands.h"

#include "device/device.h"
#include "ops/table.h"
#include "plan/verify.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *op;
    bool quick, gradients, compile;
} args;

static const cli_option options[] = {
    {.name = "op", .type = CLI_TEXT, .argument = "NAME", .value = &args.op, .help = "only this operator"},
    {.name = "quick", .type = CLI_FLAG, .value = &args.quick, .help = "only the first case of each operator"},
    {.name = "gradients",
     .type = CLI_FLAG,
     .value = &args.gradients,
     .help = "also hold the gradients of the plain C against central differences (slow; says nothing new of "
             "the device)"},
    {.name = "compile",
     .type = CLI_FLAG,
     .value = &args.compile,
     .help =
         "run nothing: make every pipeline that operators and shipped models would use on this device, and "
         "print what the driver's compiler says of it (registers, spills, its estimate of time)"},
};

/* What the cases of one operator, or of all of them, come to. */
typedef struct tally {
    uint32_t cases, wrong;
    double error, share, seconds; /* worst: relative error, and its share of what is allowed */
    char first[600];              /* the first thing that is wrong */
} tally;

static void add(tally *all, const tally *one)
{
    all->cases += one->cases;
    all->wrong += one->wrong;
    all->seconds += one->seconds;
    if (one->error > all->error) all->error = one->error;
    if (one->share > all->share) all->share = one->share;
    if (one->wrong && !all->first[0]) memcpy(all->first, one->first, sizeof all->first);
}

/* Fails only when going on makes no sense: the device is lost. */
static pm_status check_case(pm_device *device, const pm_op *op, const pm_case *test, tally *sum,
                            pm_error *error)
{
    pm_verify_result result;
    pm_status status = pm_verify_case(device, op, test, cli_precision(), args.gradients, &result, error);
    bool good = status == PM_OK && result.ok;
    sum->cases++;
    sum->wrong += !good;
    if (status == PM_OK && result.error > sum->error) sum->error = result.error;
    if (status == PM_OK && result.worst > sum->share) sum->share = result.worst;
    if (!good && !sum->first[0]) {
        (void)snprintf(sum->first, sizeof sum->first, "%s",
                       status == PM_OK ? result.message : error->message);
    }
    return status == PM_DEVICE_LOST ? status : PM_OK;
}

static pm_status check_op(pm_device *device, const pm_op *op, tally *sum, pm_error *error)
{
    double start = cli_seconds();
    uint32_t cases = args.quick && op->n_cases > 1 ? 1 : op->n_cases;
    pm_status status = PM_OK;
    *sum = (tally){0};
    for (uint32_t i = 0; status == PM_OK && i < cases && !cli_stopped(); i++) {
        if (!op->cases[i].bench) status = check_case(device, op, &op->cases[i], sum, error);
    }
    sum->seconds = cli_seconds() - start;
    return status;
}

static void report_op(const pm_op *op, const tally *sum, json_t *list)
{
    (void)json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:o, s:o, s:f, s:s}", "op", op->name,
                                                "cases", (int)sum->cases, "wrong", (int)sum->wrong, "error",
                                                cli_real(sum->error), "of_allowed", cli_real(sum->share),
                                                "seconds", sum->seconds, "message", sum->first));
    if (cli.json) return;
    if (sum->cases == 0) {
        printf("with %-24s in the cases of the operators that lead to it\n", op->name);
    } else {
        printf("%s %-24s %2u case%s  error %.1e  (%.2f of what is allowed)  %.2f s\n",
               sum->wrong ? "FAIL" : "ok  ", op->name, sum->cases, sum->cases == 1 ? " " : "s", sum->error,
               sum->share, sum->seconds);
    }
    if (sum->wrong) printf("     %s\n", sum->first);
    (void)fflush(stdout);
}

/* What someone who reads a report of a fault has to know first. */
static void print_header(const pm_device *device)
{
    const pm_device_facts *facts = pm_device_facts_of(device);
    printf("pumice " PM_VERSION ", precision %s\n", cli.precision);
    printf("device: %s (%s)\ndriver: %s %s (0x%x), Vulkan %u.%u.%u, vendor 0x%04x, device 0x%04x\n\n",
           facts->name, pm_device_type_name(facts->type), facts->driver, facts->driver_info,
           facts->driver_version, VK_API_VERSION_MAJOR(facts->api_version),
           VK_API_VERSION_MINOR(facts->api_version), VK_API_VERSION_PATCH(facts->api_version),
           facts->vendor_id, facts->device_id);
}

static pm_status find_op(pm_error *error)
{
    cli_nearest nearest = {.word = args.op};
    for (const pm_op *const *op = pm_op_table; args.op && *op; op++) cli_nearest_try(&nearest, (*op)->name);
    if (!args.op || nearest.distance == 0) return PM_OK;
    return pm_fail(error, PM_BAD_USAGE, "no operator \"%.60s\"; did you mean %s?", args.op, nearest.best);
}

static pm_status check_all(pm_device *device, json_t *list, tally *all, pm_error *error)
{
    pm_status status = PM_OK;
    for (const pm_op *const *op = pm_op_table; status == PM_OK && *op && !cli_stopped(); op++) {
        tally sum;
        if (args.op && strcmp(args.op, (*op)->name) != 0) continue;
        status = check_op(device, *op, &sum, error);
        add(all, &sum);
        report_op(*op, &sum, list);
    }
    return status;
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    pm_device *device = NULL;
    tally all = {0};
    (void)count;
    (void)arguments;
    pm_status status = find_op(error);
    if (status == PM_OK && args.compile) return cli_check_compile(args.op, error);
    if (status == PM_OK) status = cli_open_device(&device, error);
    if (status != PM_OK) return status;
    cli_catch_signals();
    if (!cli.json) print_header(device);
    json_t *list = json_array();
    status = check_all(device, list, &all, error);
    if (!cli.json) {
        printf("\n%u of %u cases are right; worst error %.1e; %.1f s%s\n", all.cases - all.wrong, all.cases,
               all.error, all.seconds, cli_stopped() ? " (stopped early)" : "");
        if (all.wrong) printf("first wrong: %s\n", all.first);
    }
    cli_result(json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:f, s:b, s:o}", "device",
                         pm_device_facts_of(device)->name, "driver", pm_device_facts_of(device)->driver_info,
                         "version", PM_VERSION, "precision", cli.precision, "cases", (int)all.cases, "wrong",
                         (int)all.wrong, "first_wrong", all.first, "seconds", all.seconds, "stopped",
                         (int)cli_stopped(), "operators", list));
    pm_device_close(device);
    if (status != PM_OK) return status;
    if (all.wrong) error->message[0] = '\0'; /* said above */
    return all.wrong || cli_stopped() ? PM_FAILED : PM_OK;
}

const cli_verb cli_check = {
    .name = "check",
    .summary = "hold every operator on this device against plain C, and name the first that is wrong",
    .arguments = "",
    .about = "A driver can compute wrong numbers without any error. This runs each operator,\n"
             "forward and backward, and compares it with a slow and simple computation on the\n"
             "host. Exit code 1 when anything is wrong; what is printed can go into a report.\n",
    .examples = "  pumice check --quick\n      seconds\n"
                "  pumice check --op matmul --device cpu\n      one operator, on the CPU driver\n",
    CLI_OPTIONS(options),
    .run = run,
};
