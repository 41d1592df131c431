/* `pumice check`: is this device right? Its arithmetic, every operator against plain C, the exactness run,
 * and where a model makes its first NaN. */
#include "check_compile.h"
#include "check_ops.h"
#include "cli.h"
#include "commands.h"
#include "exactness.h"
#include "finite.h"
#include "report.h"
#include "source.h"

#include "base/posix.h"
#include "base/status.h"
#include "base/words.h"
#include "device/device.h"
#include "ops/table.h"
#include "sampling/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *op, *finite, *data;
    bool quick, large, gradients, exact, compile;
} args;

static const cli_option options[] = {
    {.name = "op", .type = CLI_TEXT, .argument = "NAME", .value = &args.op, .help = "only this operator"},
    {.name = "quick", .type = CLI_FLAG, .value = &args.quick, .help = "only the first case of each operator"},
    {.name = "large",
     .type = CLI_FLAG,
     .value = &args.large,
     .help = "large shapes too, as a GPU gets them unasked; on a CPU driver that takes a minute"},
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
    {.name = "exact",
     .type = CLI_FLAG,
     .value = &args.exact,
     .help = "train and sample tiny models and compare checksums, which are the same on every right device; "
             "name the first operator that departs"},
    {.name = "finite",
     .type = CLI_TEXT,
     .argument = "MODEL|RECIPE",
     .value = &args.finite,
     .help = "run a training step of it, and draw from a model, node by node, and name the first operator "
             "that makes a NaN or an infinity out of finite numbers"},
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "PATH",
     .value = &args.data,
     .environment = "PUMICE_DATA",
     .help = "what --finite trains on; default: the recipe's"},
};

/* ---- Operators ----------------------------------------------------------------------------------------- */

static void report_op(void *user, const pm_op *op, const check_tally *sum)
{
    double worst = check_worst(sum->error), share = check_worst(sum->share);
    char half[40] = "";
    for (uint32_t p = PM_FAST; p <= PM_ROUNDED; p++) {
        if (sum->error[p] > 0)
            (void)snprintf(half, sizeof half, ", %.1e %s", sum->error[p], pm_precision_names[p]);
    }
    (void)json_array_append_new(
        user, json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:s}", "op", op->name, "cases",
                        (int)sum->cases, "wrong", (int)sum->wrong, "error", cli_real(worst), "error_exact",
                        cli_real(sum->error[0]), "error_f32", cli_real(sum->error[1]), "error_fast",
                        cli_real(sum->error[2]), "error_rounded", cli_real(sum->error[3]), "of_allowed",
                        cli_real(share), "seconds", sum->seconds, "message", sum->first));
    if (cli.json) return;
    if (sum->cases == 0) {
        printf("with %-24s in the cases of the operators that lead to it\n", op->name);
    } else {
        printf("%s %-24s %2u case%s  error %.1e exact, %.1e f32%s  (%.2f of what is allowed)  %.2f s\n",
               sum->wrong ? "FAIL" : "ok  ", op->name, sum->cases, sum->cases == 1 ? " " : "s", sum->error[0],
               sum->error[1], half, share, sum->seconds);
    }
    if (sum->wrong) printf("     %s\n", sum->first);
    (void)fflush(stdout);
}

static pm_status find_op(pm_error *error)
{
    pm_nearest nearest = {.word = args.op};
    for (const pm_op *const *op = pm_op_table; args.op && *op; op++) pm_nearest_try(&nearest, (*op)->name);
    if (!args.op || nearest.distance == 0) return PM_OK;
    return pm_fail(error, PM_BAD_USAGE, "no operator \"%.60s\"; did you mean %s?", args.op, nearest.best);
}

static pm_status check_ops(pm_device *device, bool rounds, json_t *arithmetic, pm_error *error)
{
    check_tally all;
    const pm_device_facts *facts = pm_device_facts_of(device);
    check_options wanted = {
        .op = args.op,
        .quick = args.quick,
        .gradients = args.gradients,
        .large = args.large || (!args.quick && facts->type != PM_DEVICE_CPU),
        .stopped = cli_stopped,
    };
    bool has_fast = pm_device_uses(device, PM_MATRIX_UNITS); /* else it is precision f32 */
    for (uint32_t p = 0; p < PM_PRECISIONS; p++) {
        wanted.precision[p] =
            cli.precision_given ? p == (uint32_t)cli_precision() : p < PM_FAST || (p == PM_FAST && has_fast);
    }
    json_t *list = json_array();
    pm_status status = check_operators(device, &wanted, &all, report_op, list, error);
    double worst = check_worst(all.error);
    if (!cli.json) {
        printf("\n%u of %u cases are right; worst error %.1e; %.1f s%s\n", all.cases - all.wrong, all.cases,
               worst, all.seconds, cli_stopped() ? " (stopped early)" : "");
        if (all.wrong) printf("first wrong: %s\n", all.first);
        if (!rounds) printf("WARNING: precision exact does not hold on this device (see arithmetic above)\n");
    }
    cli_result(json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:f, s:b, s:o, s:o}", "device", facts->name,
                         "driver", facts->driver_info, "version", PM_VERSION, "precision",
                         cli.precision_given ? cli.precision : "all", "cases", (int)all.cases, "wrong",
                         (int)all.wrong, "first_wrong", all.first, "seconds", all.seconds, "stopped",
                         (int)cli_stopped(), "arithmetic", arithmetic, "operators", list));
    if (status != PM_OK) return status;
    if (all.wrong || !rounds) error->message[0] = '\0'; /* said above */
    return all.wrong || !rounds || cli_stopped() ? PM_FAILED : PM_OK;
}

/* ---- The exactness run --------------------------------------------------------------------------------- */

static void list_sums(const uint32_t *sums, bool *same, json_t *list)
{
    static const char *const expected[] = {PM_EXACT_SUMS};
    _Static_assert(sizeof expected / sizeof expected[0] == EXACTNESS_SUMS, "one sum for each");
    *same = true;
    for (uint32_t i = 0; i < EXACTNESS_SUMS; i++) {
        char got[16];
        (void)snprintf(got, sizeof got, "%08x", sums[i]);
        bool right = strcmp(got, expected[i]) == 0;
        *same &= right;
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", exactness_names[i], "sum", got,
                                                    "expected", expected[i]));
        if (!cli.json)
            printf("%s %s  %s%s%s\n", right ? "ok  " : "FAIL", got, exactness_names[i],
                   right ? "" : ", expected ", right ? "" : expected[i]);
    }
}

static pm_status run_exactness(pm_device *device, const char *folder, json_t *arithmetic, pm_error *error)
{
    uint32_t sums[EXACTNESS_SUMS] = {0};
    char first[600] = "";
    bool same = false;
    json_t *list = json_array();
    pm_status status = exactness_run(device, folder, sums, error);
    if (status == PM_OK) list_sums(sums, &same, list);
    if (status == PM_OK && !same) status = exactness_trace(device, folder, first, sizeof first, error);
    if (status == PM_OK && !cli.json) {
        if (same) printf("\nthe same bits as everywhere\n");
        if (first[0]) printf("\nfirst departs: %s\n", first);
        if (!same && !first[0])
            printf("\nnode by node the first steps are right: it departs later, or only when much runs at "
                   "once\n");
    }
    cli_result(json_pack("{s:b, s:s, s:o, s:o}", "same", (int)same, "first_departure", first, "sums", list,
                         "arithmetic", arithmetic));
    if (status != PM_OK || same) return status;
    error->message[0] = '\0'; /* said above */
    return PM_FAILED;
}

static pm_status check_exact(pm_device *device, json_t *arithmetic, pm_error *error)
{
    char folder[300];
    (void)snprintf(folder, sizeof folder, "%.200s/pumice-exact-%ld", pm_temporary_folder(), (long)getpid());
    pm_status status = cli_make_directory(folder, error);
    if (status == PM_OK) status = run_exactness(device, folder, arithmetic, error);
    exactness_clean(folder);
    (void)rmdir(folder);
    return status;
}

/* ---- The first NaN ------------------------------------------------------------------------------------- */

static pm_status finite_step(pm_device *device, pm_recipe *recipe, const pm_model *model, finite_result *out,
                             pm_error *error)
{
    cli_source source;
    if (args.data && strlen(args.data) >= sizeof recipe->data.source)
        return pm_fail(error, PM_BAD_USAGE, "%.100s: the path is too long", args.data);
    if (args.data) (void)snprintf(recipe->data.source, sizeof recipe->data.source, "%s", args.data);
    pm_status status = cli_source_open(recipe, &source, error);
    if (status != PM_OK && model && !args.data) {
        cli_say("no training step, for want of its data (--data PATH): %s", error->message);
        status = PM_OK;
    } else if (status == PM_OK) {
        pm_training_data data = {.pictures = source.pictures,
                                 .tokens = source.corpus.train,
                                 .n_tokens = source.corpus.n_train,
                                 .tokenizer = source.corpus.tokenizer_json};
        status = finite_training(device, recipe, &data, model, cli_precision(), out, error);
    }
    cli_source_close(&source);
    return status;
}

static bool is_json(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".json") == 0;
}

static bool names_recipe(const char *name)
{
    if (is_json(name)) return true;
    for (const char *const *known = pm_recipe_names(); *known; known++) {
        if (strcmp(*known, name) == 0) return true;
    }
    return false;
}

/* A name that is a model's and a recipe's is taken for the model, which has both. */
static pm_status check_finite(pm_device *device, json_t *arithmetic, pm_error *error)
{
    char path[4096];
    pm_model *model = NULL;
    pm_recipe recipe;
    finite_result result = {0};
    bool is_model = cli_find_model(args.finite, path, sizeof path, error) == PM_OK && !is_json(path);
    pm_status status = is_model                    ? pm_model_open(path, &model, error)
                       : names_recipe(args.finite) ? pm_recipe_load(args.finite, &recipe, error)
                                                   : error->status;
    if (status == PM_OK && model) recipe = model->recipe;
    if (status == PM_OK && model && recipe.kind != PM_KIND_IMAGE_CLASSIFIER)
        status = finite_sampling(device, model, cli_precision(), &result, error);
    if (status == PM_OK && !result.found[0]) status = finite_step(device, &recipe, model, &result, error);
    pm_model_close(model);
    if (status != PM_OK) {
        json_decref(arithmetic);
        return status;
    }
    if (!cli.json && result.found[0]) printf("%s\n", result.found);
    if (!cli.json && !result.found[0])
        printf("all finite: %llu numbers after %u nodes of %u runs\n", (unsigned long long)result.numbers,
               result.nodes, result.runs);
    cli_result(json_pack("{s:b, s:s, s:i, s:i, s:I, s:o}", "finite", (int)!result.found[0], "first",
                         result.found, "nodes", (int)result.nodes, "runs", (int)result.runs, "numbers",
                         (json_int_t)result.numbers, "arithmetic", arithmetic));
    if (!result.found[0]) return PM_OK;
    error->message[0] = '\0'; /* said above */
    return PM_FAILED;
}

/* -------------------------------------------------------------------------------------------------------- */

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    pm_device *device = NULL;
    pm_arithmetic measured;
    (void)count;
    (void)arguments;
    pm_status status = find_op(error);
    if (status == PM_OK && args.compile) return cli_check_compile(args.op, error);
    if (status == PM_OK) status = cli_open_device(&device, error);
    if (status != PM_OK) return status;
    cli_catch_signals();
    status = pm_arithmetic_measure(device, &measured, error);
    if (status == PM_OK) {
        json_t *arithmetic = cli_report(device, &measured);
        status = args.finite  ? check_finite(device, arithmetic, error)
                 : args.exact ? check_exact(device, arithmetic, error)
                              : check_ops(device, measured.rounds, arithmetic, error);
    }
    pm_device_close(device);
    return status;
}

const cli_verb cli_check = {
    .name = "check",
    .summary = "hold every operator on this device against plain C, and name the first that is wrong",
    .arguments = "",
    .about = "A driver can compute wrong numbers without any error. This measures its arithmetic\n"
             "and runs each operator, forward and backward, in the precisions that the device\n"
             "is fast in, or in the one that is given, against a slow and simple computation\n"
             "on the host. Exit code 1 when anything is wrong; what is\n"
             "printed can go into a report.\n",
    .examples = "  pumice check --quick\n      seconds\n"
                "  pumice check --op matmul --device cpu\n      one operator, on the CPU driver\n"
                "  pumice check --exact\n      whether this device gives the bits that all others give\n"
                "  pumice check --finite out/mine/model.safetensors --data pictures\n"
                "      where the first NaN comes from\n",
    CLI_OPTIONS(options),
    .run = run,
};
